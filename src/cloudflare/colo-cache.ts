import { SCHEMA_VERSION } from "../../contract/document.ts";
import type { ColoCache, ColoKind } from "../store/colo.ts";
import { encodeReading, parseReading } from "../store/stored-reading.ts";

/**
 * How long a data centre may keep an entry, in seconds. It is long so that an entry can be last-known-good; whether it
 * is fresh is told by the time inside it alone.
 */
const KEPT_SECONDS = 86_400;

/** The part of the Cache API that is used. */
export interface CacheApi {
  match(url: string): Promise<Response | undefined>;
  put(url: string, response: Response): Promise<void>;
}

/** A ColoCache on the Cache API. `deployment` keeps apart deployments that share a zone's cache. */
export function createColoCache(cache: CacheApi, deployment: string): ColoCache {
  // Keys are synthetic, on a host name that cannot exist, so no request from outside can meet one.
  const urlOf = (namespace: string, kind: ColoKind, name: string) =>
    `https://fingerpost.invalid/${[deployment, SCHEMA_VERSION, namespace, kind, name].map(encodeURIComponent).join("/")}`;
  return {
    async get(namespace, kind, name) {
      const response = await cache.match(urlOf(namespace, kind, name));
      return response === undefined ? undefined : parseReading(await response.text());
    },
    async put(namespace, kind, name, reading) {
      // Without a max-age nothing is stored at all.
      const headers = { "Cache-Control": `public, max-age=${KEPT_SECONDS}`, "Content-Type": "text/plain" };
      await cache.put(urlOf(namespace, kind, name), new Response(encodeReading(reading), { headers }));
    },
  };
}
