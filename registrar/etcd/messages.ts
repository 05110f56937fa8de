import {
  CompareResult,
  CompareTarget,
  type ICompare,
  type IEvent,
  type IKeyValue,
  type IRequestOp,
  type ITxnResponse,
} from "etcd3";
import type { Compare, KeyValue, Operation, TransactionResult, WatchEvent } from "./port.ts";

export function toKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    lease: kv.lease,
  };
}

export function toWatchEvent({ type, kv, prev_kv }: IEvent): WatchEvent {
  if (type === "Put") return { type: "put", entry: toKeyValue(kv) };
  // What a deleted key had is in prev_kv, unless a compaction has taken it.
  const had = prev_kv ? toKeyValue(prev_kv) : { value: "", createRevision: 0, lease: "" };
  return { type: "delete", entry: { ...had, key: kv.key.toString(), modRevision: Number(kv.mod_revision) } };
}

export function fromCompare(compare: Compare): ICompare {
  const key = Buffer.from(compare.key);
  const result = CompareResult.Equal;
  switch (compare.target) {
    case "createRevision":
      return { key, result, target: CompareTarget.Create, create_revision: compare.equals };
    case "modRevision":
      return { key, result, target: CompareTarget.Mod, mod_revision: compare.equals };
    case "lease":
      return { key, result, target: CompareTarget.Lease, lease: compare.equals };
    case "value":
      return { key, result, target: CompareTarget.Value, value: Buffer.from(compare.equals) };
  }
}

export function fromOperation(operation: Operation): IRequestOp {
  const key = Buffer.from(operation.key);
  switch (operation.type) {
    case "put":
      return { request_put: { key, value: Buffer.from(operation.value), lease: operation.lease ?? "0" } };
    case "delete":
      return { request_delete_range: { key } };
    case "get":
      return { request_range: { key, revision: operation.atRevision ?? 0 } };
  }
}

export function toTransactionResult({ succeeded, header, responses }: ITxnResponse): TransactionResult {
  return {
    succeeded,
    revision: Number(header.revision),
    results: responses.map(({ response_range }: { readonly response_range?: { readonly kvs: IKeyValue[] } }) => {
      const kv = response_range?.kvs[0];
      return kv && toKeyValue(kv);
    }),
  };
}
