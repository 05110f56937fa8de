import * as v from "valibot";
import { parsePublicKey } from "../../contract/signature.ts";
import { isLoopback, parseListenAddress } from "../../node/listen.ts";
import { isSigningKey, SIGNING_KEY_RULE } from "../../registrar/signing/key.ts";

// What the values of settings must be. Messages end a sentence that begins with the place the value was set.

export const text = v.pipe(v.string("must be a string"), v.minLength(1, "must not be empty"));
export const number = v.number("must be a number");
export const flagged = v.boolean("must be true or false");

/** What an Authorization header can carry (RFC 6750), and long enough not to be guessed. */
export const bearer = v.pipe(
  text,
  v.minLength(16, "must be at least 16 characters; try: openssl rand -hex 32"),
  v.regex(/^[A-Za-z0-9._~+/-]+=*$/, "must be of A-Z a-z 0-9 - . _ ~ + / only; try: openssl rand -hex 32"),
);

export const httpUrl = v.pipe(
  text,
  v.check(
    (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
    "must be an http:// or https:// URL",
  ),
);

/** Credentials travel with every request, so a plain http:// URL is taken for loopback only. */
export const secureUrl = v.pipe(
  httpUrl,
  v.check((value) => {
    // What is no URL was refused above, and comes here all the same.
    if (!URL.canParse(value)) return true;
    const url = new URL(value);
    return url.protocol === "https:" || isLoopback(url.hostname.replace(/^\[|\]$/g, ""));
  }, "must be https:// unless the host is a loopback address"),
);

export const redisUrl = v.pipe(
  text,
  v.check(
    (value) => URL.canParse(value) && /^rediss?:$/.test(new URL(value).protocol),
    "must be a redis:// or rediss:// URL",
  ),
);

export const listenAddress = v.pipe(
  text,
  v.check((value) => {
    try {
      parseListenAddress(value);
      return true;
    } catch {
      return false;
    }
  }, "must be host:port with a port of 0 to 65535"),
);

export const whole = (least: number, most: number, unit: string) =>
  v.pipe(
    number,
    v.integer(`must be a whole number of ${unit}`),
    v.minValue(least, `must be ${least} to ${most} ${unit}`),
    v.maxValue(most, `must be ${least} to ${most} ${unit}`),
  );

export const textList = v.array(text, "must be an array of strings");

export const signingKey = v.pipe(text, v.check(isSigningKey, SIGNING_KEY_RULE));

export const publicKeyList = v.pipe(
  v.array(
    v.pipe(
      text,
      v.check(
        (key) => parsePublicKey(key) !== undefined,
        "must be an Ed25519 public key in one line of base64, as fingerpost keys prints it",
      ),
    ),
    "must be an array of strings",
  ),
  // Set to nothing, an empty secret file for instance, it would switch off what it was set for.
  v.minLength(1, "must hold a key; left out, signatures are not looked at"),
  v.maxLength(16, "must hold at most 16 keys: two are enough for a rotation"),
);
