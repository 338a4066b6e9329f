/**
 * Where a Redis is, read from a URL. Pure. A URL may hold a password: no message shows the URL, and what is shown of an
 * address has neither user nor password.
 */
import { invalidArgument } from "../errors.js";

/** A Redis, or what speaks its protocol, such as Valkey. */
export interface RedisAddress {
  /** For people and logs. */
  readonly shown: string;
  readonly at: { readonly host: string; readonly port: number } | { readonly path: string };
  readonly tls: boolean;
  readonly user: string | null;
  readonly password: string | null;
  /** Number of the database. */
  readonly db: number;
}

const FORMS =
  "redis://[user:password@]host[:port][/db], rediss:// for TLS, or redis+unix:///path/of/the/socket[?db=n]";
const SCHEMES: ReadonlyMap<string, { readonly tls: boolean; readonly unix: boolean }> = new Map([
  ["redis:", { tls: false, unix: false }],
  ["rediss:", { tls: true, unix: false }],
  ["valkey:", { tls: false, unix: false }],
  ["valkeys:", { tls: true, unix: false }],
  ["redis+unix:", { tls: false, unix: true }],
  ["unix:", { tls: false, unix: true }],
]);
const DEFAULT_PORT = 6379;

/** @throws LastrowError `invalid_argument` for anything but the URL of a Redis */
export function parseRedisUrl(text: unknown): RedisAddress {
  const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : null;
  const scheme = url === null ? undefined : SCHEMES.get(url.protocol);
  if (url === null || scheme === undefined) {
    throw invalidArgument(
      `The address of a Redis is a URL: ${FORMS}. Characters such as / # ? @ and % of a password are written as %2F, %23, %3F, %40 and %25.`,
    );
  }
  const credentials = { user: decoded(url.username) || null, password: decoded(url.password) || null };
  if (url.hash !== "") throw wrong("it has a # in it; in a password that is written as %23");
  return { ...credentials, ...(scheme.unix ? onSocket(url) : onNetwork(url, scheme.tls)) };
}

function onSocket(url: URL): Omit<RedisAddress, "user" | "password"> {
  const path = decoded(url.pathname);
  if (path.length < 2 || path.includes("\0") || url.host !== "") {
    throw wrong("the socket's path begins with a slash, behind three of them: redis+unix:///run/redis.sock");
  }
  const keys = [...url.searchParams.keys()];
  if (keys.some((key) => key !== "db") || keys.length > 1) throw wrong("of parameters it may have db, once");
  const db = databaseOf(url.searchParams.get("db") ?? "0");
  return { shown: `redis+unix://${path}${db === 0 ? "" : `?db=${db}`}`, at: { path }, tls: false, db };
}

function onNetwork(url: URL, tls: boolean): Omit<RedisAddress, "user" | "password"> {
  if (url.hostname === "") throw wrong("it names no host");
  if (url.search !== "") throw wrong("it may have no parameters");
  const port = url.port === "" ? DEFAULT_PORT : Number(url.port);
  if (port === 0) throw wrong("the port is a number from 1 to 65535");
  const db = databaseOf(url.pathname.replace(/^\//, "") || "0");
  const shown = `${tls ? "rediss" : "redis"}://${url.hostname}:${port}${db === 0 ? "" : `/${db}`}`;
  // Brackets of an IPv6 address belong to the URL.
  const host = decoded(url.hostname).replace(/^\[(.*)\]$/, "$1");
  return { shown, at: { host, port }, tls, db };
}

function databaseOf(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw wrong("the database behind it is a number, such as 0");
  return Number(text);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong("a % in it is not followed by two hexadecimal digits; a % itself is written as %25");
  }
}

function wrong(what: string) {
  return invalidArgument(`The URL of the Redis cannot be used: ${what}. Its form is ${FORMS}.`);
}
