/** The end of the range of all keys that begin with `prefix` (etcd's `range_end`, not included in the range). */
export function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  // UTF-8 has no byte 0xff, so the last byte can always be raised.
  const last = end.length - 1;
  end[last] = (end[last] ?? 0) + 1;
  return end;
}

/** The first key after `key`. */
export function nextKey(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.from([0])]);
}
