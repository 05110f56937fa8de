import { createVerifier, parsePublicKey, type PublicKey } from "../../contract/signature.ts";
import type { Clock } from "../../kernel/clock.ts";
import { FingerpostError } from "../../kernel/errors.ts";
import { createBelief, type Belief } from "../publisher/belief.ts";
import { parseSigningKey, publicKeyText } from "./key.ts";
import { createSeal, type Seal } from "./seal.ts";

export interface SigningConfig {
  readonly signingKey?: string | undefined;
  readonly publicKeys?: readonly string[] | undefined;
}

/** What a publisher signs and believes. Rejects with `invalid_argument`, and tells no key. */
export async function createSigning(
  { signingKey, publicKeys = [] }: SigningConfig,
  clock: Pick<Clock, "now">,
): Promise<{ seal?: Seal; belief?: Belief }> {
  const seal = signingKey === undefined ? {} : { seal: await createSeal(signingKey, clock) };
  if (publicKeys.length === 0) return seal;
  // Whoever signs believes what it has signed itself: a leader goes on from its own documents after a refused commit.
  const own = signingKey === undefined ? [] : [publicKeyText(parseSigningKey(signingKey))];
  const keys = [...publicKeys, ...own].map(publicKeyOf);
  return { ...seal, belief: createBelief(createVerifier(keys), clock) };
}

function publicKeyOf(text: string): PublicKey {
  const key = parsePublicKey(text);
  if (key) return key;
  throw new FingerpostError(
    "invalid_argument",
    "A public key is not one line of base64 as fingerpost keys prints it: an Ed25519 public key (SubjectPublicKeyInfo).",
  );
}
