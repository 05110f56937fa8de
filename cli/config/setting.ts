import type * as v from "valibot";

/** The processes and commands that read fingerpost.toml. */
export type ProcessName = "registrar" | "gateway" | "resolver" | "etcd-setup" | "keys";

/**
 * One setting: where it stands in fingerpost.toml (`section.key`, or a bare key at the top), the environment variable
 * and the flag that override it, and the rule it obeys. A secret has no flag, since arguments show in process lists,
 * and can be given by file: the variable with `_FILE` appended.
 */
export interface Setting {
  readonly path: string;
  /** Absent of `tables`, which no variable can hold. */
  readonly env?: string;
  readonly flag?: string;
  readonly kind: "text" | "list" | "number" | "boolean" | "tables";
  readonly schema: v.GenericSchema;
  readonly default?: string | number | boolean | readonly string[];
  readonly help: string;
  readonly secret?: true;
  readonly processes: readonly ProcessName[];
}
