import { catalogKey, headKey, serviceOfKey } from "../../contract/redis-keys.ts";
import { createSeal, DOCUMENT_LIFE_MS, HEAD_LIFE_MS } from "../../registrar/signing/seal.ts";

/** Makes what is stored under a key of what is to be stored there. */
export type SealKey = (key: string, document: string, namespace?: string) => string;

/** Signs as a registrar does, with its lives. */
export async function createKeySeal(signingKey: string, now: () => number): Promise<SealKey> {
  const seal = await createSeal(signingKey, { now });
  return (key, document, namespace = "default") => {
    if (key === headKey(namespace)) return seal("head", namespace, "", document, HEAD_LIFE_MS);
    if (key === catalogKey(namespace)) return seal("catalog", namespace, "", document, DOCUMENT_LIFE_MS);
    const service = serviceOfKey(namespace, key) ?? "";
    const tombstoneUntil = /"tombstoneUntil":(\d+)/.exec(document)?.[1];
    const lifeMs = tombstoneUntil === undefined ? DOCUMENT_LIFE_MS : Number(tombstoneUntil) - now();
    return seal("service", namespace, service, document, lifeMs);
  };
}
