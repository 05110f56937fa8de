import { isOrigin, ORIGIN_RULE, ORIGINS_MAX } from "./access/origins.ts";
import { isName, NAME_RULE } from "../contract/names.ts";
import { FingerpostError, type Violation } from "../kernel/errors.ts";
import type { CompleteOptions } from "./options.ts";
import { isSecureUrl, SECURE_URL_RULE } from "./secure-url.ts";

const BASE_PATH = /^(\/[A-Za-z0-9._~-]+)*$/;

/** Refuses what a program may have got wrong. Throws `invalid_argument` that names every option that is wrong. */
export function checkOptions(options: CompleteOptions): CompleteOptions {
  const violations: Violation[] = [];
  const hold = (parameter: string, holds: unknown, detail: string) => {
    if (!holds) violations.push({ parameter, detail });
  };
  // Whoever writes no types can leave out even these.
  const { access, store, namespaces, basePath, freshness, memory, watchersMax, rateLimit, corsOrigins } =
    options as Partial<CompleteOptions>;
  hold("store", store, "is required: createUpstashStore makes one");
  const keys = access?.type === "keys" ? access.keys : undefined;
  const isRule = access?.type === "open" || Array.isArray(keys);
  hold("access", isRule, 'must be { type: "open" } or { type: "keys", keys: [...] }');
  const someone = access?.type !== "keys" || keys?.length !== 0 || access.jwt;
  hold("access", someone, "lets nobody in: it has neither a key nor a JWT's issuer");
  // A JWT that names nothing would be one of nobody, for nobody.
  const jwt = access?.type === "keys" ? access.jwt : undefined;
  hold(
    "access.jwt",
    !jwt || (jwt.issuer && jwt.audience),
    "needs the issuer and the audience of the JWTs that are taken",
  );
  hold("access.jwt.jwksUrl", !jwt || isSecureUrl(jwt.jwksUrl), SECURE_URL_RULE);
  const { perSecond = 1 } = rateLimit ?? {};
  hold("rateLimit.perSecond", perSecond >= 1, "must be a number of at least 1");
  const origins = Array.isArray(corsOrigins) && corsOrigins.length <= ORIGINS_MAX;
  const any = origins && corsOrigins.length === 1 && corsOrigins[0] === "*";
  hold(
    "corsOrigins",
    origins && (any || corsOrigins.every(isOrigin)),
    `must be at most ${ORIGINS_MAX}; each ${ORIGIN_RULE} alone`,
  );
  const named = Array.isArray(namespaces) && namespaces.length > 0 && namespaces.every(isName);
  hold("namespaces", named, `must name at least one; each ${NAME_RULE}`);
  hold("basePath", BASE_PATH.test(basePath ?? ""), 'must be like "/discovery", without a slash at its end');
  for (const [name, value] of Object.entries({ ...freshness, ...memory, watchersMax })) {
    hold(name, typeof value === "number" && value >= 1, "must be a number of at least 1");
  }
  hold("swrMs", freshness && freshness.swrMs >= freshness.freshMs, "must be at least freshMs");
  if (violations.length === 0) return options;
  const texts = violations.map(({ parameter, detail }) => `${parameter} ${detail}`);
  throw new FingerpostError("invalid_argument", `The resolver's options are not valid: ${texts.join("; ")}.`, {
    violations,
  });
}
