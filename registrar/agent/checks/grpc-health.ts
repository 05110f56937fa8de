/** grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING. */
export const SERVING = 1;

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH = 2;
const FIXED_32 = 5;

/** A HealthCheckRequest: `string service = 1`, left out when empty. */
export function encodeHealthRequest(service: string): Buffer {
  const text = Buffer.from(service);
  if (text.length === 0) return Buffer.alloc(0);
  const lengthBytes = text.length < 128 ? [text.length] : [(text.length & 127) | 128, text.length >> 7];
  return Buffer.concat([Buffer.from([(1 << 3) | LENGTH, ...lengthBytes]), text]);
}

/**
 * The `ServingStatus status = 1` of a HealthCheckResponse; 0 when it is left out. Fields nobody knows are passed over.
 * Throws on what is no message.
 */
export function decodeHealth(bytes: Buffer): number {
  let at = 0;
  let health = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new Error("not a protobuf message: a number does not end");
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === VARINT) {
      const value = varint();
      if (Math.floor(tag / 8) === 1) health = value;
    } else if (kind === LENGTH) {
      const length = varint();
      at += length;
    } else if (kind === FIXED_64 || kind === FIXED_32) {
      at += kind === FIXED_64 ? 8 : 4;
    } else {
      throw new Error(`not a protobuf message: wire type ${kind}`);
    }
  }
  if (at > bytes.length) throw new Error("not a protobuf message: a field is cut short");
  return health;
}
