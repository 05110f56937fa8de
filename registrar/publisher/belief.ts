import type { DocumentKind } from "../../contract/document.ts";
import type { Verifier } from "../../contract/signature.ts";
import type { Clock } from "../../kernel/clock.ts";

/**
 * Whether a publisher that takes over goes on from what it finds in Redis. What it went on from blindly it would sign: an
 * instance that somebody wrote there would look as if it had departed, and be held, and published.
 */
export type Belief = (kind: DocumentKind, namespace: string, name: string, text: string) => Promise<boolean>;

/** Without public keys everything is believed: so signing is switched on without losing what is held back. */
export const believeAll: Belief = () => Promise.resolve(true);

/** Believes what one of the keys signed; a snapshot only as long as it has not expired. */
export function createBelief(verifier: Verifier, clock: Pick<Clock, "now">): Belief {
  return async (kind, namespace, name, text) => {
    const verification = await verifier.open(kind, namespace, name, text);
    if (verification.type === "refused") return false;
    // After an outage of every publisher a head is long expired, and still says what was published.
    return kind !== "service" || verification.expiresAt > clock.now();
  };
}
