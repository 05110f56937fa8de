import { checkOptions } from "./options-check.ts";
import { withDefaults, type ResolverOptions } from "./options.ts";
import { createResolver, type Resolver } from "./resolver.ts";

/**
 * The resolver for programs. What variables come to was checked when they were read, and the Worker that wrangler.toml
 * deploys is smaller without a second check; what a program hands over was checked by nobody. Throws `invalid_argument`
 * that names every option that is wrong.
 */
export function createCheckedResolver(options: ResolverOptions): Resolver {
  return createResolver(checkOptions(withDefaults(options)));
}
