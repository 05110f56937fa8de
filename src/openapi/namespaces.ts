import { PREFIX_DEFAULT, PREFIX_NAMED } from "../operations.ts";
import type { OpenApi } from "./page.ts";

const NAMESPACE = { $ref: "#/components/parameters/path.namespace" };
const NAMED = PREFIX_NAMED.replace(/:(\w+)/, "{$1}");

/** The document with every path of the default namespace also as that of a named one. */
export function withNamespaces(document: OpenApi): OpenApi {
  const paths = { ...document.paths };
  for (const [path, { parameters = [], get }] of Object.entries(document.paths)) {
    if (!path.startsWith(PREFIX_DEFAULT)) continue;
    paths[NAMED + path.slice(PREFIX_DEFAULT.length)] = {
      parameters: [NAMESPACE, ...parameters],
      get: { ...get, operationId: `${get.operationId}InNamespace` },
    };
  }
  return { ...document, paths };
}
