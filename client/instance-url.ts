import type { Instance } from "../contract/snapshot.ts";
import { ResolveError } from "./errors.ts";

/** Whether the instance is reached by `fetch`: over http or https. */
export function isFetchable(instance: Instance): boolean {
  return baseOf(instance) !== undefined;
}

/**
 * The URL of `path` on an instance. The path begins with one slash and may have a query; it is put behind the
 * instance's own address, so it can neither change the host nor leave the path of the instance's `url`. Throws
 * `invalid_argument` for other paths, `unsupported_protocol` for an instance that `fetch` does not reach.
 */
export function instanceUrl(instance: Instance, path: string): string {
  checkPath(path);
  const base = baseOf(instance);
  if (!base) throw new ResolveError("unsupported_protocol", `Instance "${instance.id}" speaks ${instance.protocol}.`);
  const prefix = base.pathname.replace(/\/+$/, "");
  const url = new URL(`${base.origin}${prefix}${path}`);
  if (url.origin !== base.origin || !url.pathname.startsWith(`${prefix}/`)) {
    throw new ResolveError("invalid_argument", "The path leads out of the service's own address.");
  }
  return url.href;
}

/** Throws `invalid_argument`. What a parser of URLs would drop or turn round is refused, not interpreted. */
export function checkPath(path: string): void {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (!/^\/(?![/\\])[^\u0000-\u0020\u007f\\]*$/.test(path)) {
    throw new ResolveError("invalid_argument", "A path begins with one slash and has neither spaces nor backslashes.");
  }
}

function baseOf({ url, protocol, address, port }: Instance): URL | undefined {
  const text = url ?? `${protocol}://${address.includes(":") ? `[${address}]` : address}:${port}`;
  if (!URL.canParse(text)) return undefined;
  const base = new URL(text);
  return base.protocol === "http:" || base.protocol === "https:" ? base : undefined;
}
