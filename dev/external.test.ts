import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { readExternal } from "./external.ts";

const UPSTASH = { UPSTASH_REDIS_REST_URL: "https://redis.example", UPSTASH_REDIS_REST_TOKEN: "secret-token" };

describe("what the environment names", () => {
  it("replaces nothing when it names nothing", () => {
    expect(readExternal({ HOME: "/" })).toEqual({ etcd: undefined, redis: undefined, warnings: [] });
  });

  it("never fills someone's Redis from an etcd that is ours and empty, and says so", () => {
    const { redis, warnings } = readExternal(UPSTASH);
    expect(redis).toBeUndefined();
    expect(warnings).toEqual([expect.stringMatching(/UPSTASH_REDIS_REST_URL is set and not used/)]);
    expect(warnings.join()).not.toContain("secret-token");
  });

  it("is used for both stores when it names both", () => {
    const external = readExternal({ FINGERPOST_ETCD_ENDPOINTS: "http://etcd.example:2379", ...UPSTASH });
    expect(external.redis).toEqual({ url: "https://redis.example", token: "secret-token" });
    expect(external.etcd).toEqual({ FINGERPOST_ETCD_ENDPOINTS: "http://etcd.example:2379" });
  });

  it("keeps etcd's credentials, and paths as they were meant where dev was started", () => {
    const { etcd } = readExternal({
      FINGERPOST_ETCD_ENDPOINTS: "https://a:2379,https://b:2379",
      FINGERPOST_ETCD_USERNAME: "u",
      FINGERPOST_ETCD_PASSWORD_FILE: "secrets/etcd",
      FINGERPOST_ETCD_CA: "/ca.pem",
      FINGERPOST_TOKEN: "not etcd's",
    });
    expect(etcd).toEqual({
      FINGERPOST_ETCD_ENDPOINTS: "https://a:2379,https://b:2379",
      FINGERPOST_ETCD_USERNAME: "u",
      FINGERPOST_ETCD_PASSWORD_FILE: resolve("secrets/etcd"),
      FINGERPOST_ETCD_CA: "/ca.pem",
    });
  });

  it("is refused without the token that belongs to it", () => {
    const env = {
      FINGERPOST_ETCD_ENDPOINTS: "http://etcd.example:2379",
      UPSTASH_REDIS_REST_URL: "https://redis.example",
    };
    expect(() => readExternal(env)).toThrow(/UPSTASH_REDIS_REST_TOKEN is not/);
  });
});
