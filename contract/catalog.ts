import * as v from "valibot";
import { decodeDocument, documentEntries, safeInteger, versionNumber } from "./document.ts";

/** The names of a namespace's services. What is not here, nor added since in the head's ring, does not exist. */
export interface Catalog {
  readonly namespace: string;
  readonly epoch: number;
  readonly revision: number;
  /** By name: how many instances. The counts may lag some seconds behind the snapshots. */
  readonly services: ReadonlyMap<string, number>;
}

const catalogSchema = v.object({
  ...documentEntries("catalog"),
  epoch: versionNumber,
  revision: versionNumber,
  services: v.array(v.tuple([v.string(), safeInteger])),
});

export function encodeCatalog({ services, ...catalog }: Catalog): string {
  return JSON.stringify({ schema: 1, kind: "catalog", ...catalog, services: [...services] });
}

/** Throws `unavailable` unless `text` is this namespace's catalog in a schema this build knows. */
export function decodeCatalog(text: string, namespace: string): Catalog {
  const { epoch, revision, services } = decodeDocument(catalogSchema, text, { namespace });
  return { namespace, epoch, revision, services: new Map(services) };
}
