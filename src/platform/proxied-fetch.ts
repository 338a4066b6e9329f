/**
 * `fetch` by way of the proxies that the environment names. Node's own `fetch` knows none before Node 24, and later only
 * where it is asked to; what is Node's own is undici, whose release of its own is loaded where a proxy is named, and only
 * there.
 */
import { LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `HTTP_PROXY` for `http:` addresses, `HTTPS_PROXY` for `https:` ones (without it, `HTTP_PROXY`), directly to the names in
 * `NO_PROXY`: a list with commas, of names that include their subdomains, perhaps with a port; `*` is all. In small
 * letters they come first; empty ones count as unset. An address may have a user and a password.
 *
 * The variables are looked at when the first request is sent. Where they name no proxy, it goes to the runtime's own
 * `fetch`. A proxy that is not an http or https address fails it with a LastrowError `invalid_argument`, which never shows
 * a password.
 */
export function proxiedFetch(env: Environment): typeof fetch {
  let sending: Promise<typeof fetch> | null = null;
  return async (input, init) => {
    sending ??= fetchFor(env);
    const send = await sending;
    return send(input, init);
  };
}

async function fetchFor(env: Environment): Promise<typeof fetch> {
  const httpProxy = proxyAddress(env, "HTTP_PROXY");
  const httpsProxy = proxyAddress(env, "HTTPS_PROXY");
  if (httpProxy === "" && httpsProxy === "") return fetch;
  const { EnvHttpProxyAgent, fetch: throughDispatcher } = await fetchedCode(import("undici"));
  const noProxy = variable(env, "NO_PROXY")[0];
  // Without a tunnel for plain HTTP: proxies often allow one for TLS alone. Idle connections hold up no program.
  const dispatcher = new EnvHttpProxyAgent({ httpProxy, httpsProxy, noProxy, proxyTunnel: false });
  const send = throughDispatcher as unknown as typeof fetch;
  return (input, init) => send(input, { ...init, dispatcher } as RequestInit);
}

/** Empty where none is named. */
function proxyAddress(env: Environment, upperName: string): string {
  const [value, name] = variable(env, upperName);
  if (value === "") return "";
  // `proxy:3128` is how many write it.
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  if (URL.canParse(address) && /^https?:$/.test(new URL(address).protocol)) return address;
  throw new LastrowError(
    "invalid_argument",
    `${name} must be the address of an HTTP proxy, such as http://proxy.example:3128.`,
  );
}

/** What a variable says, and which of the two it is. */
function variable(env: Environment, upperName: string): readonly [value: string, name: string] {
  const lowerName = upperName.toLowerCase();
  const lower = env[lowerName] ?? "";
  return lower === "" ? [env[upperName] ?? "", upperName] : [lower, lowerName];
}
