import type { Background } from "../lookup/flight.ts";
import type { Location, Platform } from "../platform.ts";

/** The part of a Worker's context that is used. */
export interface ExecutionContext {
  waitUntil(work: Promise<unknown>): void;
}

/**
 * What Cloudflare gives a request. Everything is read when it is asked for, since an answer from memory needs none of
 * it.
 */
export function createCloudflarePlatform(request: Request, context: ExecutionContext): Platform {
  return new CloudflarePlatform(request, context);
}

// A class, because its getters cost a request nothing.
class CloudflarePlatform implements Platform {
  readonly #request: Request;
  readonly #context: ExecutionContext;

  constructor(request: Request, context: ExecutionContext) {
    this.#request = request;
    this.#context = context;
  }

  get background(): Background {
    return (work) => this.#context.waitUntil(work);
  }

  get location(): Location | undefined {
    // As Cloudflare writes it, each as text; a simulator may leave it out.
    return (this.#request as Request & { readonly cf?: Location }).cf;
  }
}
