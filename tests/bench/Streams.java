import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
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
 * <p>Records are JSON, read by Jackson, in one of two ways. Of {@code objects}, as such applications are written: a
 * serde makes each record an object and each event bytes. Of {@code bytes}, as Loopwire's own join works: an event is
 * the hit's bytes with the tail of what is known, nothing of a hit is written anew, and with a KTable a profile's tail
 * is made once, when the profile changes.
 *
 * <p>{@code Streams TABLE OF PREFIX NAME=VALUE...}: TABLE is KTable or GlobalKTable, where profiles are kept; OF is
 * objects or bytes; PREFIX stands before the names of topics; the rest are properties of Kafka Streams. SIGTERM ends it
 * with all committed, the end of its parent at once.
 */
public final class Streams {
    private static final JsonFactory JSON = new JsonFactory();
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final Map<String, String> NAMES =
            Map.of("email", "recipient", "fields", "fields", "interests", "interests", "tags", "tags");
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
        for (String word : Arrays.asList(words).subList(3, words.length)) {
            String[] pair = word.split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        Topology topology =
                words[1].equals("objects") ? ofObjects(words[0], words[2]) : ofBytes(words[0], words[2]);
        KafkaStreams streams = new KafkaStreams(topology, properties);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        ProcessHandle.current().parent().ifPresent(bench -> bench.onExit().thenRun(() -> Runtime.getRuntime().halt(1)));
        streams.start();
    }

    private static Topology ofObjects(String table, String prefix) {
        StreamsBuilder builder = new StreamsBuilder();
        Serde<JsonNode> json = Serdes.serdeFrom(
                (topic, node) -> node == null ? null : written(node), (topic, bytes) -> bytes == null ? null : read(bytes));
        Consumed<String, JsonNode> consumed = Consumed.with(Serdes.String(), json);
        KStream<String, JsonNode> hits = builder.stream(prefix + "hits", consumed);
        var mailings = builder.globalTable(prefix + "tags", consumed, inMemory("mailings", Serdes.String(), json));
        var rows = inMemory("profiles", Serdes.String(), json);
        KStream<String, JsonNode> known;
        if (table.equals("KTable")) {
            known = hits.leftJoin(builder.table(prefix + "profiles", consumed, rows), Streams::joined);
        } else {
            var profiles = builder.globalTable(prefix + "profiles", consumed, rows);
            known = hits.leftJoin(profiles, (key, hit) -> key, Streams::joined);
        }
        known.leftJoin(mailings, (key, hit) -> mailing(hit), Streams::joined)
                .to(prefix + "events", Produced.with(Serdes.String(), json));
        return builder.build();
    }

    private static JsonNode read(byte[] bytes) {
        try {
            return MAPPER.readTree(bytes);
        } catch (IOException wrong) {
            throw new UncheckedIOException(wrong);
        }
    }

    private static byte[] written(JsonNode node) {
        try {
            return MAPPER.writeValueAsBytes(node);
        } catch (IOException wrong) {
            throw new UncheckedIOException(wrong);
        }
    }

    /** The key of the hit's mailing, null where it has none. */
    private static String mailing(JsonNode hit) {
        return hit.hasNonNull("mailing") ? hit.get("account").asText() + "/" + hit.get("mailing").asText() : null;
    }

    /** The hit with what an event tells of the row. */
    private static JsonNode joined(JsonNode hit, JsonNode row) {
        if (row != null) {
            NAMES.forEach((name, told) -> {
                if (row.hasNonNull(name)) {
                    ((ObjectNode) hit).set(told, row.get(name));
                }
            });
        }
        return hit;
    }

    private static Topology ofBytes(String table, String prefix) {
        StreamsBuilder builder = new StreamsBuilder();
        Consumed<Bytes, byte[]> consumed = Consumed.with(Serdes.Bytes(), Serdes.ByteArray());
        KStream<Bytes, Hit> hits = builder.stream(prefix + "hits", consumed).mapValues(Streams::hit);
        var mailings = builder.globalTable(prefix + "tags", consumed, inMemory("mailings", Serdes.Bytes(), Serdes.ByteArray()));
        KStream<Bytes, Hit> known;
        if (table.equals("KTable")) {
            var tails = builder.table(prefix + "profiles", consumed)
                    .mapValues(profile -> tail(profile, OF_PROFILE), inMemory("profiles", Serdes.Bytes(), Serdes.ByteArray()));
            known = hits.leftJoin(tails, Hit::with);
        } else {
            var profiles = builder.globalTable(prefix + "profiles", consumed, inMemory("profiles", Serdes.Bytes(), Serdes.ByteArray()));
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

    private static <K, V> Materialized<K, V, KeyValueStore<Bytes, byte[]>> inMemory(
            String name, Serde<K> keys, Serde<V> values) {
        return Materialized.<K, V>as(Stores.inMemoryKeyValueStore(name))
                .withKeySerde(keys)
                .withValueSerde(values);
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
