import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Enrich's join as a Kafka Streams application: hits with profiles and the mailing's tags, into events.
 *
 * <p>Records are JSON, read by Jackson. As in Loopwire's own join an event is the hit's bytes with the tail of what is
 * known: nothing of a hit is written anew, and with a KTable a profile's tail is made once, when the profile changes.
 *
 * <p>{@code Streams TABLE PREFIX NAME=VALUE...}: TABLE is KTable or GlobalKTable, where profiles are kept; PREFIX
 * stands before the names of topics; the rest are properties of Kafka Streams. SIGTERM ends it with all committed, the
 * end of its parent at once.
 */
public final class Streams {
    private static final JsonFactory JSON = new JsonFactory();
    private static final Map<String, byte[]> OF_PROFILE = Map.of(
            "email", ",\"recipient\":".getBytes(UTF_8),
            "fields", ",\"fields\":".getBytes(UTF_8),
            "interests", ",\"interests\":".getBytes(UTF_8));
    private static final Map<String, byte[]> OF_MAILING = Map.of("tags", ",\"tags\":".getBytes(UTF_8));

    /** A hit, or what it has become so far; and the key of its mailing, null where it has none. */
    record Hit(byte[] json, Bytes mailing) {
        Hit with(byte[] tail) {
            return new Hit(joined(json, tail), mailing);
        }
    }

    public static void main(String[] words) {
        Properties properties = new Properties();
        for (String word : Arrays.asList(words).subList(2, words.length)) {
            String[] pair = word.split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        KafkaStreams streams = new KafkaStreams(topology(words[0], words[1]), properties);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        ProcessHandle.current().parent().ifPresent(bench -> bench.onExit().thenRun(() -> Runtime.getRuntime().halt(1)));
        streams.start();
    }

    private static Topology topology(String table, String prefix) {
        StreamsBuilder builder = new StreamsBuilder();
        Consumed<Bytes, byte[]> consumed = Consumed.with(Serdes.Bytes(), Serdes.ByteArray());
        KStream<Bytes, Hit> hits = builder.stream(prefix + "hits", consumed).mapValues(Streams::hit);
        var mailings = builder.globalTable(prefix + "tags", consumed, inMemory("mailings"));
        KStream<Bytes, Hit> known;
        if (table.equals("KTable")) {
            var tails = builder.table(prefix + "profiles", consumed)
                    .mapValues(profile -> tail(profile, OF_PROFILE), inMemory("profiles"));
            known = hits.leftJoin(tails, Hit::with);
        } else {
            var profiles = builder.globalTable(prefix + "profiles", consumed, inMemory("profiles"));
            known = hits.leftJoin(
                    profiles, (key, hit) -> key, (hit, profile) -> hit.with(tail(profile, OF_PROFILE)));
        }
        known.leftJoin(
                        mailings,
                        (key, hit) -> hit.mailing,
                        (hit, mailing) -> joined(hit.json, tail(mailing, OF_MAILING)))
                .to(prefix + "events", Produced.with(Serdes.Bytes(), Serdes.ByteArray()));
        return builder.build();
    }

    private static Materialized<Bytes, byte[], KeyValueStore<Bytes, byte[]>> inMemory(String name) {
        return Materialized.<Bytes, byte[]>as(Stores.inMemoryKeyValueStore(name))
                .withKeySerde(Serdes.Bytes())
                .withValueSerde(Serdes.ByteArray());
    }

    /** Reads the hit to its end, so what is no JSON stops us, and keeps the two names that the join needs. */
    private static Hit hit(byte[] json) {
        try (JsonParser parser = JSON.createParser(json)) {
            String account = null;
            String mailing = null;
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("account")) {
                    account = parser.getValueAsString();
                } else if (name.equals("mailing")) {
                    mailing = parser.getValueAsString();
                } else {
                    parser.skipChildren();
                }
            }
            return new Hit(json, mailing == null ? null : Bytes.wrap((account + "/" + mailing).getBytes(UTF_8)));
        } catch (IOException wrong) {
            throw new UncheckedIOException(wrong);
        }
    }

    /** What a row adds to an event: {@code ,"tags":["a","b"]}; null where there is no row, or nothing in it. */
    private static byte[] tail(byte[] row, Map<String, byte[]> names) {
        if (row == null) {
            return null;
        }
        try (JsonParser parser = JSON.createParser(row)) {
            ByteArrayOutputStream tail = new ByteArrayOutputStream(row.length);
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                byte[] name = names.get(parser.currentName());
                boolean known = parser.nextToken() != JsonToken.VALUE_NULL;
                int start = (int) parser.currentTokenLocation().getByteOffset();
                parser.skipChildren();
                if (name != null && known) {
                    parser.finishToken();
                    tail.writeBytes(name);
                    tail.write(row, start, (int) parser.currentLocation().getByteOffset() - start);
                }
            }
            return tail.size() == 0 ? null : tail.toByteArray();
        } catch (IOException wrong) {
            throw new UncheckedIOException(wrong);
        }
    }

    /** The object with the tail before its end. */
    private static byte[] joined(byte[] object, byte[] tail) {
        if (tail == null) {
            return object;
        }
        byte[] made = Arrays.copyOf(object, object.length + tail.length);
        System.arraycopy(tail, 0, made, object.length - 1, tail.length);
        made[made.length - 1] = '}';
        return made;
    }
}
