import type { Caller } from "../access/caller.ts";
import { forbiddenService, lookupsFor, type RouteOptions } from "./context.ts";
import type { Platform } from "../platform.ts";
import type { Question } from "./question.ts";
import { keyOf } from "./url-memo.ts";

/** Who asks: the same admission that the routes have. */
export type Admit = (request: Request, platform: Platform) => Caller | Promise<Caller>;

export interface HotPathOptions extends RouteOptions {
  readonly admit: Admit;
  /** The answer to a request that broke: the same that the routes give. */
  readonly failed: (thrown: unknown) => Response;
}

/**
 * Answers the requests whose URL was answered before, without routing or parsing anything; undefined for all others,
 * which the routes see. The answers of both are made by the same functions.
 */
export type HotPath = (request: Request, platform: Platform) => Response | Promise<Response> | undefined;

export function createHotPath(options: HotPathOptions): HotPath {
  const { admit, memo, answering, failed } = options;

  function enter(
    caller: Caller,
    question: Question,
    request: Request,
    platform: Platform,
  ): Response | Promise<Response> {
    const { namespace, service, type } = question;
    if (!caller.may(namespace, service)) throw forbiddenService(namespace, service);
    const key = type === "pick-by-key" ? keyOf(request.url) : undefined;
    const lookups = lookupsFor(request, platform.background, namespace, options);
    return answering.answer(question, key, lookups, request, platform);
  }

  return (request, platform) => {
    if (request.method !== "GET") return undefined;
    const question = memo.get(request.url);
    if (question === undefined) return undefined;
    try {
      const caller = admit(request, platform);
      const answered =
        caller instanceof Promise
          ? caller.then((admitted) => enter(admitted, question, request, platform))
          : enter(caller, question, request, platform);
      return answered instanceof Promise ? answered.catch(failed) : answered;
    } catch (thrown) {
      return failed(thrown);
    }
  };
}
