import * as v from "valibot";

/** Namespaces, services, instances, regions and zones. The first character keeps our own `_` keys apart. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export const NAME_RULE = "must be 1 to 128 of A-Z a-z 0-9 . _ - and start with a letter or digit";

export const DEFAULT_NAMESPACE = "default";

export function isName(value: string): boolean {
  return NAME_PATTERN.test(value);
}

/** Marked as pure: readers of stored documents have no use for it, and a Worker leaves it out. */
export const nameSchema = /* @__PURE__ */ v.pipe(
  /* @__PURE__ */ v.string("must be a string"),
  /* @__PURE__ */ v.regex(NAME_PATTERN, NAME_RULE),
);
