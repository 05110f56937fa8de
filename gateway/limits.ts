/** Upstash's own limit for a request, so that what fits there fits here. */
export const BODY_BYTES_MAX = 10 * 1024 * 1024;

/** Commands in one pipeline or transaction: they are sent in one write, and everybody else on the connection waits. */
export const COMMANDS_MAX = 1000;

/** Arguments in one request, over all of its commands: an argument of one byte costs some fifty in memory. */
export const ARGUMENTS_MAX = 200_000;

/** Bytes of Redis' replies in one answer. Base64 and JSON make more of them, and a string has an end (512 MiB). */
export const RESPONSE_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Bytes of all request bodies held at one moment, for each of the two tokens, so that a crowd of large requests is
 * refused and not swapped out: 256 MiB in all.
 */
export const BUFFERED_BYTES_MAX = 128 * 1024 * 1024;

export const POOL_SIZE_DEFAULT = 4;
export const POOL_SIZE_MAX = 64;
export const REQUEST_TIMEOUT_MS_DEFAULT = 5000;
export const CONCURRENT_REQUESTS_MAX_DEFAULT = 1000;

/** What the TCP (and TLS) connection may take, and then once more what authentication and the first questions may. */
export const CONNECT_TIMEOUT_MS = 2000;
/** Between attempts to connect, drawn with full jitter: short enough that a restart costs a second, not a minute. */
export const RECONNECT_BASE_MS = 100;
export const RECONNECT_CAP_MS = 2000;
