import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConfigError, environmentOf, loadConfig, type ConfigSources, type ConfigValues, type Judge } from "./load.ts";
import type { ProcessName } from "./setting.ts";
import { settings, settingsOf } from "./settings.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fingerpost-config-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: string): string {
  const path = join(folder, "fingerpost.toml");
  writeFileSync(path, content);
  return path;
}

function sources(given: Partial<ConfigSources>): ConfigSources {
  return { file: undefined, env: {}, flags: new Map(), ...given };
}

function problems(given: Partial<ConfigSources>, process: ProcessName = "registrar", judge?: Judge): readonly string[] {
  try {
    loadConfig(process, sources(given), judge);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("configuration", () => {
  it("takes a flag over the environment, the environment over the file, and the file over the default", () => {
    const path = file("[registrar]\nlease_ttl_seconds = 11");
    const of = (given: Partial<ConfigSources>) =>
      loadConfig("registrar", sources(given)).get("registrar.lease_ttl_seconds");
    const env = { FINGERPOST_LEASE_TTL_SECONDS: "12" };
    const flags = new Map([["registrar.lease_ttl_seconds", "13"]]);
    expect([of({}), of({ file: path }), of({ file: path, env }), of({ file: path, env, flags })]).toEqual([
      30, 11, 12, 13,
    ]);
  });

  it("lists every unknown key and every bad value at once, each with the place it was set", () => {
    const path = file('ttl = 3\n[etcd]\nendpoints = ["nonsense"]\n[registar]\nrole = "both"\n');
    expect(
      problems({
        file: path,
        env: { FINGERPOST_LEASE_TTL_SECONDS: "soon", FINGERPOST_LISTEN: "x" },
        flags: new Map([["registrar.role", "king"]]),
      }),
    ).toEqual([
      "ttl in the file: is not a known setting",
      "registar.role in the file: is not a known setting; did you mean registrar.role?",
      'etcd.endpoints in the file: must be an http:// or https:// URL (it is "nonsense")',
      'FINGERPOST_LISTEN: must be host:port with a port of 0 to 65535 (it is "x")',
      '--role: must be both, agent or publisher (it is "king")',
      'FINGERPOST_LEASE_TTL_SECONDS: must be a number (it is "soon")',
    ]);
  });

  it("never shows a secret that is refused", () => {
    const said = problems({ env: { FINGERPOST_TOKEN: "short", FINGERPOST_REDIS_URL: "http://u:hunter2@h" } }).join();
    expect(said).toContain("FINGERPOST_TOKEN: must be at least 16 characters");
    expect(said).toContain("FINGERPOST_REDIS_URL: must be a redis://");
    expect(said).not.toMatch(/short|hunter2/);
  });

  it("never shows a line of a file that is not TOML", () => {
    const said = problems({ file: file('[etcd]\npassword = "hunter2\n') }).join();
    expect(said).toMatch(/is not TOML: see line 2/);
    expect(said).not.toContain("hunter2");
  });

  it("reads a secret from the file its _FILE variable names, and refuses both at once", () => {
    const path = join(folder, "password");
    writeFileSync(path, "from-a-file\n");
    const env = { FINGERPOST_ETCD_PASSWORD_FILE: path };
    expect(loadConfig("registrar", sources({ env })).get("etcd.password")).toBe("from-a-file");
    expect(problems({ env: { ...env, FINGERPOST_ETCD_PASSWORD: "x" } }).join()).toContain("are both set");
    expect(problems({ env: { FINGERPOST_ETCD_PASSWORD_FILE: join(folder, "none") } }).join()).toContain(
      "cannot be read",
    );
  });

  it("never takes an empty file or commas alone for public keys left out: nothing would be verified", () => {
    const path = join(folder, "public-keys");
    writeFileSync(path, "\n");
    expect(problems({ env: { FINGERPOST_PUBLIC_KEYS_FILE: path } }, "resolver")).toEqual([
      "FINGERPOST_PUBLIC_KEYS_FILE: the file is empty",
    ]);
    expect(problems({ env: { FINGERPOST_PUBLIC_KEYS: " , " } }, "resolver").join()).toContain(
      "FINGERPOST_PUBLIC_KEYS: must not be empty",
    );
  });

  it("takes what the resolver reads as a Worker does: set to nothing it is left out, and no part of a list may be empty", () => {
    const env = { FINGERPOST_OPEN: "", FINGERPOST_NAMESPACES: "", FINGERPOST_RATE_LIMIT: " ", FINGERPOST_JWKS_URL: "" };
    expect(environmentOf("resolver", loadConfig("resolver", sources({ env })))).toEqual(
      environmentOf("resolver", loadConfig("resolver", sources({}))),
    );
    expect(problems({ env: { FINGERPOST_NAMESPACES: "a,,b" } }, "resolver")).toEqual([
      'FINGERPOST_NAMESPACES: must not be empty (it is "")',
    ]);
    expect(problems({ env: { FINGERPOST_OPEN: "yes" } }, "resolver").join()).toContain("must be true or false");
  });

  it("names a Redis' URL that is none, together with the rest", () => {
    const env = { UPSTASH_REDIS_REST_URL: "example.upstash.io", FINGERPOST_LISTEN: "x" };
    for (const process of ["registrar", "resolver"] as const) {
      expect(problems({ env }, process)).toEqual([
        'UPSTASH_REDIS_REST_URL: must be an http:// or https:// URL (it is "example.upstash.io")',
        'FINGERPOST_LISTEN: must be host:port with a port of 0 to 65535 (it is "x")',
      ]);
    }
  });

  it("refuses a file that was named and is not there", () => {
    expect(problems({ file: join(folder, "none.toml") }).join()).toContain("none.toml");
  });

  it("refuses to send Redis' token over plain HTTP to another machine", () => {
    expect(problems({ env: { UPSTASH_REDIS_REST_URL: "http://redis.example.com" } }).join()).toContain("https://");
    expect(problems({ env: { UPSTASH_REDIS_REST_URL: "http://127.0.0.1:7071" } })).toEqual([]);
  });

  it("names whatever a process' own reader refuses by where it was set, together with the rest", () => {
    const given = {
      env: { FINGERPOST_SWR_MS: "x", FINGERPOST_KEYS: "a" },
      flags: new Map([["resolver.fresh_ms", "5"]]),
    };
    const judge = (values: ConfigValues) => {
      expect(environmentOf("resolver", values)).toMatchObject({ FINGERPOST_FRESH_MS: "5", FINGERPOST_KEYS: "a" });
      return ["FINGERPOST_SWR_MS", "FINGERPOST_FRESH_MS", "UPSTASH_REDIS_REST_URL"].map((parameter) => ({
        parameter,
        detail: "is wrong",
      }));
    };
    expect(problems(given, "resolver", judge)).toEqual([
      'FINGERPOST_SWR_MS: must be a number (it is "x")',
      "--fresh-ms: is wrong",
      "UPSTASH_REDIS_REST_URL: is wrong",
    ]);
  });

  it("accepts every default it has", () => {
    for (const process of ["registrar", "gateway", "resolver"] as const) {
      const given = new Map(settingsOf(process).flatMap(({ path, default: value }) => (value ? [[path, value]] : [])));
      expect(Object.fromEntries(loadConfig(process, sources({})))).toMatchObject(Object.fromEntries(given));
    }
  });

  it("offers no flag for a secret, since arguments show in process lists", () => {
    expect(settings.filter((setting) => setting.secret && setting.flag)).toEqual([]);
  });
});
