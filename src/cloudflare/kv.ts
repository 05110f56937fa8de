import { FingerpostError } from "../../kernel/errors.ts";
import type { Env } from "../env-reader.ts";
import type { DeepStore } from "../store/deep.ts";

const VARIABLE = "FINGERPOST_KV";
/**
 * How long KV keeps a copy, in seconds. What is asked for is copied again when it is read again; what nobody has asked
 * for in a month is no use any more.
 */
const KEPT_SECONDS = 30 * 86_400;

/** The part of a KV namespace that is used. */
interface Binding {
  get(key: string): Promise<string | null>;
  put(key: string, value: string, options: { readonly expirationTtl: number }): Promise<void>;
}

/**
 * A DeepStore in the Worker's KV namespace, where it has one. `deployment` keeps apart deployments that share it. Throws
 * `internal` when something else has its name.
 */
export function deepStoreOf(env: Env, deployment: string): DeepStore | undefined {
  const binding = env[VARIABLE];
  if (binding === undefined) return undefined;
  if (!isBinding(binding)) {
    throw new FingerpostError("internal", "The resolver's environment is not valid.", {
      violations: [{ parameter: VARIABLE, detail: "must be a KV namespace binding, not a variable" }],
    });
  }
  return {
    get: async (key) => (await binding.get(`${deployment}/${key}`)) ?? undefined,
    put: (key, text) => binding.put(`${deployment}/${key}`, text, { expirationTtl: KEPT_SECONDS }),
  };
}

function isBinding(value: unknown): value is Binding {
  return typeof value === "object" && value !== null && "get" in value && "put" in value;
}
