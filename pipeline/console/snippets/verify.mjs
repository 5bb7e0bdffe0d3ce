import { createHmac, timingSafeEqual } from "node:crypto";

// False unless Loopwire sent this. `body` is the raw body (a Buffer), `headers` are request.headers.
export function verify(secret, headers, body) {
  const { "webhook-id": id, "webhook-timestamp": sent, "webhook-signature": signatures = "" } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(sent)) <= 300)) return false; // too old, or from the future
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const mac = createHmac("sha256", key).update(`${id}.${sent}.`).update(body).digest("base64");
  const right = Buffer.from(`v1,${mac}`);
  return signatures.split(" ").some((one) => {
    const given = Buffer.from(one);
    return given.length === right.length && timingSafeEqual(given, right);
  });
}
