/**
 * The algorithms that are taken, by the kind of their key: a curve, or RSA. Asymmetric ones only, so that a public key is
 * never a shared secret.
 */
export const KINDS = {
  RS256: "RSA",
  RS384: "RSA",
  RS512: "RSA",
  PS256: "RSA",
  PS384: "RSA",
  PS512: "RSA",
  ES256: "P-256",
  ES384: "P-384",
  ES512: "P-521",
  EdDSA: "Ed25519",
} as const;
export type Algorithm = keyof typeof KINDS;

/** Keys of one set: an issuer has two or three. */
const KEYS_MAX = 100;
/** Characters of an RSA modulus in base64url: from 2,048 bits (RFC 7518, 3.3) to 8,192, past which one verification costs too much. */
const MODULUS_LENGTH_MIN = 342;
const MODULUS_LENGTH_MAX = 1366;

/** A public key of a JSON Web Key Set (RFC 7517), with the members that WebCrypto imports and no others. */
export interface PublicKey {
  readonly kid?: string;
  /** What it is meant for alone, where it says so. */
  readonly alg?: string;
  readonly material: { readonly kty: string } & Readonly<Partial<Record<"crv" | "n" | "e" | "x" | "y", string>>>;
}

/** What a token's header asks for. */
export interface KeyQuery {
  readonly alg: Algorithm;
  readonly kid?: string;
}

export function isAlgorithm(alg: unknown): alg is Algorithm {
  return typeof alg === "string" && Object.hasOwn(KINDS, alg);
}

/** Reads a key set; keys that cannot verify are left out. Throws for what is no key set. */
export function parseKeySet(text: string): readonly PublicKey[] {
  const document: unknown = JSON.parse(text);
  const keys = isRecord(document) ? document["keys"] : undefined;
  if (!Array.isArray(keys)) throw new TypeError("it has no keys");
  if (keys.length > KEYS_MAX) throw new RangeError(`it has more than ${KEYS_MAX} keys`);
  return keys.flatMap((key: unknown) => parseKey(key) ?? []);
}

/** The key for a token: by its `kid`, or, where the token names none, the only one that fits. */
export function chooseKey(keys: readonly PublicKey[], { alg, kid }: KeyQuery): PublicKey | undefined {
  const fitting = keys.filter(
    (key) =>
      (kid === undefined || key.kid === kid) &&
      (key.alg === undefined || key.alg === alg) &&
      (key.material.crv ?? key.material.kty) === KINDS[alg],
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

function parseKey(key: unknown): PublicKey | undefined {
  if (!isRecord(key)) return undefined;
  const { use, key_ops: operations, kid, alg } = key;
  if (use !== undefined && use !== "sig") return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return undefined;
  const material = materialOf(key);
  if (!material) return undefined;
  return {
    ...(typeof kid === "string" ? { kid } : {}),
    ...(typeof alg === "string" ? { alg } : {}),
    material,
  };
}

function materialOf({ kty, crv, n, e, x, y }: Record<string, unknown>): PublicKey["material"] | undefined {
  if (kty === "RSA" && typeof n === "string" && typeof e === "string") {
    return n.length >= MODULUS_LENGTH_MIN && n.length <= MODULUS_LENGTH_MAX ? { kty, n, e } : undefined;
  }
  if (typeof crv !== "string" || typeof x !== "string") return undefined;
  if (kty === "EC" && typeof y === "string") return { kty, crv, x, y };
  return kty === "OKP" ? { kty, crv, x } : undefined;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
