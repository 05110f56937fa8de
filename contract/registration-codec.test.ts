import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FingerpostError, type ErrorCode } from "../kernel/errors.ts";
import { aHostileText, aName, anOddJsonText, aRegistration, anyJson } from "../test/support/arbitraries.ts";
import { mutated, mutatedText } from "../test/support/mutations.ts";
import { instanceKey, parseInstanceKey, parseNamespace, parseSentinelKey, sentinelKey } from "./etcd-keys.ts";
import { isName } from "./names.ts";
import { catalogKey, headKey, serviceKey, serviceOfKey, vacantKey } from "./redis-keys.ts";
import {
  decodeRegistration,
  encodeRegistration,
  parseRegistrationRequest,
  REGISTRATION_BYTES_MAX,
} from "./registration.ts";
import { parseCommandReply, refusalText } from "./upstash.ts";

/** What `read` gives; undefined where it refuses by this code. Whatever else it throws is thrown. */
function unless<T>(code: ErrorCode, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FingerpostError && error.code === code) return undefined;
    throw error;
  }
}

describe("a registration", () => {
  it("is read from etcd as it was written, and by a later build's reader as well", () => {
    fc.assert(
      fc.property(aRegistration(), aHostileText, (registration, name) => {
        const value = unless("invalid_argument", () => encodeRegistration(registration));
        fc.pre(value !== undefined);
        expect(decodeRegistration(value, registration.id)).toEqual(registration);
        // What this build does not know is left out: it could not say what it means.
        const later = JSON.stringify({ ...(JSON.parse(value) as object), [`later ${name}`]: [name] });
        expect(decodeRegistration(later, registration.id)).toEqual(registration);
        expect(unless("invalid_argument", () => decodeRegistration(value, `${registration.id}x`))).toBeUndefined();
      }),
    );
  });

  it("that anyone may have written is read or refused, and what was read is published as it is", () => {
    const value = mutatedText(aRegistration(fc.constant("a")).map((one) => JSON.stringify(one)));
    fc.assert(
      fc.property(value, (text) => {
        const read = unless("invalid_argument", () => decodeRegistration(text, "a"));
        expect(JSON.stringify(read && decodeRegistration(JSON.stringify(read), "a"))).toBe(JSON.stringify(read));
      }),
      { numRuns: 500 },
    );
  });

  it("is written within its bytes, or refused for them", () => {
    const large = aRegistration().chain((one) =>
      fc.string({ unit: "grapheme", maxLength: 2048 }).map((text) => ({ ...one, metadata: { a: text, b: text } })),
    );
    fc.assert(
      fc.property(large, (registration) => {
        const fits = Buffer.byteLength(JSON.stringify(registration)) <= REGISTRATION_BYTES_MAX;
        const value = unless("invalid_argument", () => encodeRegistration(registration));
        expect(value === undefined ? Infinity : Buffer.byteLength(value)).toBeLessThanOrEqual(
          fits ? REGISTRATION_BYTES_MAX : Infinity,
        );
        expect(value !== undefined).toBe(fits);
      }),
    );
  });

  it("that is asked for with any body is taken or refused, and what was taken can be stored", () => {
    const valid = aRegistration(fc.constant("a")).map(
      ({ status: _status, cause: _cause, registeredAt: _at, ...one }) => ({
        ...one,
        ttlSeconds: 30,
      }),
    );
    fc.assert(
      fc.property(fc.oneof(mutated(valid), anyJson), (body) => {
        const taken = unless("invalid_argument", () => parseRegistrationRequest(body));
        fc.pre(taken !== undefined);
        const { ttlSeconds: _ttl, check: _check, ...rest } = taken;
        const stored = { ...rest, id: "a", registeredAt: "2026-11-21T04:30:00.000Z" };
        // JSON has no -0.
        expect(decodeRegistration(JSON.stringify(stored), "a")).toEqual(JSON.parse(JSON.stringify(stored)));
        expect(Object.getPrototypeOf(taken.metadata)).toBe(Object.prototype);
      }),
      { numRuns: 150 },
    );
  });
});

describe("a key", () => {
  const ref = fc.record({ namespace: aName, service: aName, instance: aName }, { noNullPrototype: true });
  const anyKey = fc.oneof(
    fc
      .array(fc.oneof(aName, aHostileText, fc.constantFrom("_agents", "_cluster")), { maxLength: 5 })
      .map((parts) => ["/fingerpost", ...parts].join("/")),
    aHostileText,
  );

  it("in etcd is of one instance, and tells which", () => {
    fc.assert(
      fc.property(ref, (one) => {
        expect(parseInstanceKey(instanceKey(one))).toEqual(one);
        expect(parseNamespace(instanceKey(one))).toBe(one.namespace);
        expect(parseSentinelKey(instanceKey(one))).toBeUndefined();
      }),
    );
  });

  it("of anything else in etcd is of no instance; what is read of any key is what it is written from", () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const instance = parseInstanceKey(key);
        expect(instance ? instanceKey(instance) : key).toBe(key);
        expect(Object.values(instance ?? {}).every(isName)).toBe(true);
        const sentinel = parseSentinelKey(key);
        expect(sentinel ? sentinelKey(sentinel.agent, sentinel.lease) : key).toBe(key);
        expect(instance && sentinel).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it("in Redis is of one namespace and one service, and in its namespace's slot", () => {
    fc.assert(
      fc.property(aName, aName, aName, (namespace, service, other) => {
        const key = serviceKey(namespace, service);
        expect(serviceOfKey(namespace, key)).toBe(service);
        expect(serviceOfKey(other, key)).toBe(other === namespace ? service : undefined);
        const all = [key, headKey(namespace), catalogKey(namespace), vacantKey(namespace)];
        expect(new Set(all).size).toBe(all.length);
        // What is hashed is what stands between the first brace and the next that closes.
        expect(all.map((one) => /\{([^}]+)\}/.exec(one)?.[1])).toEqual(all.map(() => namespace));
      }),
    );
  });
});

describe("Upstash's protocol", () => {
  it("has an answer of an object with members, or of nothing", () => {
    const text = fc.oneof(anOddJsonText, mutatedText(fc.constant('{"result":["a",null,1],"error":"ERR"}')));
    fc.assert(
      fc.property(text, (answer) => {
        const reply = parseCommandReply(answer);
        expect(typeof reply).toBe("object");
        expect(reply).not.toBeNull();
        expect(parseCommandReply("null")).toEqual({});
      }),
    );
  });

  it("refuses with words of Redis, of which no more than the code is told", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Z]{2,32}$/), aHostileText, (code, secret) => {
        expect(refusalText(`${code} ${secret}`)).toBe(`Redis refused a command (${code}).`);
        expect(refusalText(`x${secret}`)).toBe("Redis refused a command.");
      }),
    );
  });
});
