import type { Instance } from "../contract/snapshot.ts";
import { pick } from "../contract/pick.ts";
import { ResolveError } from "./errors.ts";
import { checkPath } from "./instance-url.ts";
import { createLookup, type Resolved } from "./lookup.ts";
import { readOptions, type ClientOptions } from "./options.ts";
import { lookupPath, type Filters } from "./request.ts";
import { fetchFromOne } from "./service-fetch.ts";
import { watchPath, type Watched } from "./watch.ts";

/** Without `near`: what is picked here does not know where the resolver was asked. Its own `/pick?near=` does. */
export interface PickFilters extends Omit<Filters, "near"> {
  /** Equal keys get the same instance, as long as it is there (rendezvous hashing). Without it: weighted random. */
  readonly key?: string;
}

export interface Picked extends Omit<Resolved, "instances"> {
  readonly instance: Instance;
}

export interface ServiceRequestInit extends RequestInit {
  /** Which instances may be sent to. */
  readonly filters?: PickFilters;
}

export interface WatchFilters extends Filters {
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

/** All calls throw ResolveError. */
export interface Client {
  /** The instances of a service that match. A known service may have none. */
  resolve(service: string, filters?: Filters): Promise<Resolved>;
  /**
   * One instance, by the rules of the resolver's own `/pick`, chosen here from what `resolve` gives: while that is
   * fresh it costs no request. Throws `no_instance` when none matches.
   */
  pick(service: string, filters?: PickFilters): Promise<Picked>;
  /**
   * What is known of a service, and again each time that it changes, over one connection that is made again when it
   * breaks. Leaving the loop, or `signal`, ends it. Throws, at the next step, only what another try would not mend.
   */
  watch(service: string, filters?: WatchFilters): AsyncIterable<Watched>;
  /**
   * Sends an HTTP request to one instance, as the global `fetch` does, and to up to two others when a connection fails
   * and the request may be sent again. `path` begins with a slash. The resolver's token is not sent along.
   */
  fetch(service: string, path: string, init?: ServiceRequestInit): Promise<Response>;
}

/**
 * A client of the resolver, for functions: it needs nothing but web standards. Make one and keep it, since what it
 * holds is what carries calls over a resolver that fails. Throws `invalid_argument` for its options.
 */
export function createClient(options: ClientOptions): Client {
  const settings = readOptions(options);
  const lookup = createLookup(settings);

  async function resolve(service: string, filters: Filters = {}): Promise<Resolved> {
    return await lookup(lookupPath(settings.namespace, service, filters));
  }

  function noInstance(service: string): ResolveError {
    return new ResolveError("no_instance", `Service "${service}" has no instance that matches.`);
  }

  return {
    resolve,
    async pick(service, { key, ...filters } = {}) {
      const { instances, ...answer } = await resolve(service, filters);
      const instance = pick(instances, key, settings.random);
      if (!instance) throw noInstance(service);
      return { ...answer, instance };
    },
    watch(service, { signal, ...filters } = {}) {
      return watchPath(settings, lookupPath(settings.namespace, service, filters), signal);
    },
    async fetch(service, path, { filters: { key, ...filters } = {}, ...init } = {}) {
      checkPath(path);
      init.signal?.throwIfAborted();
      const { instances } = await resolve(service, filters);
      if (instances.length === 0) throw noInstance(service);
      return await fetchFromOne(settings, instances, key, path, init);
    },
  };
}
