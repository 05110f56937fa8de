import { FingerpostError } from "../../kernel/errors.ts";
import type { RateLimiter } from "../access/rate-limit.ts";
import type { Env } from "../env-reader.ts";

const VARIABLE = "FINGERPOST_RATE_LIMITER";

/** The part of Cloudflare's rate limiting binding that is used. */
interface Binding {
  limit(options: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

/** The Worker's binding, where it has one. Throws `internal` when something else has its name. */
export function rateLimiterOf(env: Env): RateLimiter | undefined {
  const binding = env[VARIABLE];
  if (binding === undefined) return undefined;
  if (!isBinding(binding)) {
    throw new FingerpostError("internal", "The resolver's environment is not valid.", {
      violations: [{ parameter: VARIABLE, detail: "must be a rate limiting binding, not a variable" }],
    });
  }
  return {
    async limit(key) {
      const { success } = await binding.limit({ key });
      return success;
    },
  };
}

function isBinding(value: unknown): value is Binding {
  return typeof value === "object" && value !== null && "limit" in value && typeof value.limit === "function";
}
