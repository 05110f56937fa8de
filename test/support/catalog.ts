import type { KeyValue } from "../../registrar/etcd/port.ts";
import type { CatalogState } from "../../registrar/publisher/catalog-state.ts";

/** Gives a catalog a list of one page. */
export function restoreCatalog(
  catalog: CatalogState,
  entries: readonly KeyValue[],
  revision: number,
  reverted = false,
) {
  catalog.page(entries, true);
  return catalog.restore(revision, reverted);
}
