/**
 * What a request must be before anything is done for it: sent to this server by a name that it has, not by a page of
 * another origin, and with a key. A page in a browser can send requests to loopback addresses, and a name that its owner
 * points there makes them same-origin: so the names are checked.
 */

import { isIP } from "node:net";
import { quoteValue } from "../quote-value.js";
import { ApiError } from "./api-error.js";
import type { ApiKeys, Principal } from "./keys.js";

export interface GuardOptions {
  /** The address that the server listens on; null where that is not known: then only loopback names are taken. */
  readonly boundTo: string | null;
  /** More names that it has. */
  readonly allowedHosts: readonly string[];
  /** Origins of pages that may use it; `*` for all. */
  readonly corsOrigins: readonly string[];
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);
const ANY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::", "[::]"]);

/** Whether only programs on the same machine reach an address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

export class Guard {
  readonly #names: ReadonlySet<string>;
  /** Bound to every address: any address is right then, for unlike a name it cannot be pointed here by somebody else. */
  readonly #anyAddress: boolean;
  readonly #origins: ReadonlySet<string>;

  constructor({ boundTo, allowedHosts, corsOrigins }: GuardOptions) {
    this.#names = new Set([
      ...LOOPBACK_NAMES,
      ...(boundTo === null ? [] : [hostName(boundTo)]),
      ...allowedHosts.map((host) => hostName(host)),
    ]);
    this.#anyAddress = boundTo !== null && ANY_ADDRESS.has(boundTo);
    this.#origins = new Set(corsOrigins.map((origin) => origin.toLowerCase().replace(/\/$/, "")));
  }

  /**
   * @returns headers that let a named origin's page read the answer
   * @throws ApiError 403
   */
  check({ headers }: Request, { hostname, host }: URL): Record<string, string> {
    if (!this.#names.has(hostname) && !(this.#anyAddress && isAddress(hostname))) {
      throw new ApiError(
        403,
        "host_not_allowed",
        `This server does not answer to the name ${quoteValue(hostname)}; add it with --allow-host.`,
      );
    }
    const origin = headers.get("origin");
    if (origin === null) return {};
    if (this.#origins.has("*") || this.#origins.has(origin.toLowerCase())) {
      return {
        "access-control-allow-origin": this.#origins.has("*") ? "*" : origin,
        "access-control-expose-headers": "retry-after, x-request-id",
        vary: "origin",
      };
    }
    // A page that this server has served itself, also behind a proxy that speaks TLS for it.
    if (/^https?:\/\//i.test(origin) && origin.replace(/^https?:\/\//i, "").toLowerCase() === host) return {};
    throw new ApiError(
      403,
      "origin_not_allowed",
      `Pages from ${quoteValue(origin)} may not use this server; allow them with --cors-origin.`,
    );
  }

  /**
   * The answer to a browser that asks whether it may ask, and to anyone who asks what an address has.
   * @param methods the address's
   */
  preflight(allowed: Record<string, string>, methods: readonly string[]): Response {
    const allow = { ...(methods.length > 0 && { allow: methods.join(", ") }) };
    if (allowed["access-control-allow-origin"] === undefined)
      return new Response(null, { status: 204, headers: allow });
    return new Response(null, {
      status: 204,
      headers: {
        ...allow,
        ...allowed,
        "access-control-allow-methods": "GET, POST, DELETE",
        // Clients send headers of their own, such as x-stainless-os; the star does not stand for authorization.
        "access-control-allow-headers": "authorization, content-type, *",
        "access-control-max-age": "600",
      },
    });
  }
}

/**
 * Whose key a request has: in `authorization`, or, without that, in `x-api-key`, as Anthropic's clients send it.
 * @throws ApiError 401
 */
export function authenticate(keys: ApiKeys, { headers }: Request): Principal {
  const bearer = headers.get("authorization");
  const plain = headers.get("x-api-key");
  const presented = bearer === null ? plain : (/^Bearer\s+(\S+)\s*$/i.exec(bearer)?.[1] ?? null);
  const principal = keys.identify(presented);
  if (principal !== null) return principal;
  throw new ApiError(
    401,
    "invalid_api_key",
    bearer === null && plain === null
      ? "This server requires a key: send authorization: Bearer YOUR_KEY, or x-api-key: YOUR_KEY."
      : "The key that was sent is not one of this server's.",
  );
}

/** On every answer. The page may share memory between threads; what is here may not be framed, sniffed or embedded. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
};

function hostName(host: string): string {
  const lower = host.toLowerCase();
  return isIP(lower) === 6 ? `[${lower}]` : lower;
}

function isAddress(hostname: string): boolean {
  return isIP(hostname.replace(/^\[|\]$/g, "")) !== 0;
}
