/**
 * Requests to the Hub. Everything that goes over the network for a model goes through one `HubConnection`, which owns
 * the token, the time limits and the wording of failures.
 *
 * What always holds: the token goes to the endpoint's origin and nowhere else, be it by a redirect or by a link in an
 * answer; no message holds a token or an address behind a redirect (those carry signatures); every wait ends, by an
 * answer, by the time limit or by the caller's signal.
 */
import { onAbort } from "../abort-listeners.js";
import { aborted, LastrowError } from "../errors.js";

/** What every sentence about a missing network ends with. */
export const FOLDER_HINT =
  'a folder with the model\'s files needs no network: --model ./folder, or load("./folder")';

const MAX_REDIRECTS = 10;
/** Most times that a busy Hub is asked again, and longest that is waited for it in all, in milliseconds: 5 minutes. */
const MAX_WAITS = 10;
const MAX_WAITED_MS = 5 * 60 * 1000;
/** Largest answer of the Hub's API that is read, in bytes: 64 MiB. */
const MAX_API_BYTES = 64 * 1024 * 1024;
/** Most pages of a listing that are asked for; the Hub puts up to 1000 entries on one. */
const MAX_API_REQUESTS = 200;

export interface HubConnectionOptions {
  readonly endpoint: string;
  readonly token: string | null;
  /** How long nothing may come, in milliseconds, before a request counts as failed. */
  readonly timeoutMs: number;
  /** What is asked for, as messages name it: `openai-community/gpt2`, with its revision if there is one. */
  readonly subject: string;
  readonly signal: AbortSignal | undefined;
  readonly fetch: typeof fetch;
  /** Told when the Hub is busy and has asked to be left alone for so many seconds. */
  readonly onWait?: ((seconds: number) => void) | undefined;
}

/** An answer with status 200, 206 or 416. */
export interface HubAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The body's bytes as they come. */
  chunks(): AsyncGenerator<Uint8Array>;
}

export class HubConnection {
  readonly endpoint: string;
  readonly #options: HubConnectionOptions;
  #apiRequests = 0;
  #waits = 0;
  #waitedMs = 0;

  constructor(options: HubConnectionOptions) {
    this.endpoint = options.endpoint;
    this.#options = options;
  }

  /** @throws LastrowError `aborted` once the caller's signal is */
  throwIfAborted(): void {
    const { signal, subject } = this.#options;
    if (signal?.aborted) {
      throw aborted(`The download of ${subject} was cancelled.`, signal);
    }
  }

  /**
   * Asks for `url`, follows redirects, and hands the answer to `use`. The connection is freed when `use` is done. A Hub
   * that answers 429 or 503 and says with `Retry-After` when to come back is asked again then, unless all these waits
   * together would become too long.
   *
   * @param headers without the token, which is added where it may go
   * @throws LastrowError `hub_unreachable` when no answer comes, or one that only the Hub's operators can mend;
   *   `hub_not_found` for 401, 403 and 404; `aborted`. Reading `chunks` throws the first and the last of them too.
   */
  async request<T>(
    url: string,
    headers: Readonly<Record<string, string>>,
    use: (answer: HubAnswer) => Promise<T>,
  ): Promise<T> {
    this.throwIfAborted();
    const { signal } = this.#options;
    const abort = new AbortController();
    const stop = () => abort.abort();
    const stopWaiting = onAbort(signal, stop);
    try {
      const response = await this.#follow(new URL(url), headers, abort);
      return await use({
        status: response.status,
        headers: response.headers,
        chunks: () => this.#chunks(response, abort),
      });
    } finally {
      stopWaiting();
      abort.abort();
    }
  }

  /** `request` as @huggingface/hub takes it, for the JSON answers of the Hub's API. The library is given no token. */
  readonly apiFetch: typeof fetch = async (input, init) => {
    this.#apiRequests++;
    if (this.#apiRequests > MAX_API_REQUESTS) this.unreachable("its listing has no end");
    const headers = Object.fromEntries(new Headers(init?.headers));
    return this.request(String(input), headers, async (answer) => {
      const parts: Uint8Array[] = [];
      let length = 0;
      for await (const chunk of answer.chunks()) {
        length += chunk.length;
        if (length > MAX_API_BYTES) this.unreachable(`it answered with more than ${MAX_API_BYTES} bytes`);
        parts.push(chunk);
      }
      const link = answer.headers.get("link");
      return new Response(Buffer.concat(parts), { headers: link === null ? {} : { link } });
    });
  };

  /** @throws LastrowError `hub_unreachable`, always; `reason` is what was seen */
  unreachable(reason: string, cause?: unknown): never {
    throw new LastrowError(
      "hub_unreachable",
      `${this.#options.subject} cannot be fetched from ${this.endpoint}: ${reason}; ${FOLDER_HINT}.`,
      cause === undefined ? {} : { cause },
    );
  }

  async #follow(start: URL, headers: Readonly<Record<string, string>>, abort: AbortController) {
    let url = start;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const response = await this.#patiently(this.#send(url, headers, abort), abort);
      const seconds = secondsToWait(response);
      if (seconds !== null) {
        await response.body?.cancel();
        await this.#waitForHub(seconds, response, url);
        // From the start: an address behind a redirect may be good for a short time only.
        url = start;
        redirects = -1;
        continue;
      }
      if (response.status < 300 || response.status >= 400) {
        this.#checkStatus(response, url);
        return response;
      }
      url = this.#redirectTarget(response, url);
      await response.body?.cancel();
    }
    return this.unreachable(`it redirects more than ${MAX_REDIRECTS} times`);
  }

  #send(url: URL, headers: Readonly<Record<string, string>>, abort: AbortController): Promise<Response> {
    const { token } = this.#options;
    const isHub = url.origin === new URL(this.endpoint).origin;
    const authorization = isHub && token !== null ? { authorization: `Bearer ${token}` } : {};
    const send = this.#options.fetch;
    return send(url, {
      headers: { ...headers, ...authorization },
      redirect: "manual",
      signal: abort.signal,
    });
  }

  async #waitForHub(seconds: number, { status }: Response, url: URL): Promise<void> {
    this.#waits += 1;
    this.#waitedMs += seconds * 1000;
    if (this.#waits > MAX_WAITS || this.#waitedMs > MAX_WAITED_MS) {
      const where = url.origin === new URL(this.endpoint).origin ? "it" : url.origin;
      this.unreachable(
        `${where} is busy (status ${status}) and asks to come back in ${seconds} seconds, which is too long to wait for`,
      );
    }
    this.#options.onWait?.(seconds);
    const { signal } = this.#options;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stopWaiting();
        resolve();
      };
      const timer = setTimeout(done, seconds * 1000);
      const stopWaiting = onAbort(signal, done);
      if (signal?.aborted) done();
    });
    this.throwIfAborted();
  }

  #redirectTarget(response: Response, from: URL): URL {
    const location = response.headers.get("location") ?? "";
    const target = URL.canParse(location, from) ? new URL(location, from) : null;
    const isSafe =
      target?.protocol === "https:" || (target?.protocol === "http:" && from.protocol === "http:");
    if (location === "" || target === null || !isSafe) {
      this.unreachable(`it redirects (${response.status}) to an address that is not allowed`);
    }
    return target;
  }

  #checkStatus(response: Response, url: URL): void {
    const { status } = response;
    if (status === 200 || status === 206 || status === 416) return;
    const { subject } = this.#options;
    const isHub = url.origin === new URL(this.endpoint).origin;
    if (status === 404) {
      throw new LastrowError("hub_not_found", `${this.endpoint} has no model ${subject}.`);
    }
    if (isHub && (status === 401 || status === 403)) {
      const remedy =
        this.#options.token === null
          ? "set HF_TOKEN to a token that may read it"
          : "the token that was sent (HF_TOKEN, or the token file) may not read it";
      throw new LastrowError(
        "hub_not_found",
        `${this.endpoint} does not show ${subject} (${status}): there is no such model, or it is private, or gated with terms to accept first; ${remedy}.`,
      );
    }
    this.unreachable(`${isHub ? "it" : url.origin} answered with status ${status}`);
  }

  async *#chunks(response: Response, abort: AbortController): AsyncGenerator<Uint8Array> {
    if (response.body === null) return;
    const reader: ReadableStreamDefaultReader<Uint8Array> = response.body.getReader();
    for (;;) {
      const { done, value } = await this.#patiently(reader.read(), abort);
      if (done) return;
      yield value;
    }
  }

  /** Waits for the network, but not for ever, and says what went wrong. */
  async #patiently<T>(waiting: Promise<T>, abort: AbortController): Promise<T> {
    const { timeoutMs } = this.#options;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      abort.abort();
    }, timeoutMs);
    try {
      return await waiting;
    } catch (cause) {
      this.throwIfAborted();
      if (cause instanceof LastrowError) throw cause;
      this.unreachable(isLate ? `no data arrived for ${timeoutMs / 1000} seconds` : reasonOf(cause), cause);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What a busy Hub asks for with `Retry-After` (RFC 9110: seconds, or a date); null for all other answers. */
function secondsToWait({ status, headers }: Response): number | null {
  const retryAfter = headers.get("retry-after");
  if ((status !== 429 && status !== 503) || retryAfter === null) return null;
  if (/^\d{1,9}$/.test(retryAfter)) return Number(retryAfter);
  const date = Date.parse(retryAfter);
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - Date.now()) / 1000));
}

/** The system's code for a failed connection, such as `ENOTFOUND`, where there is one. */
function reasonOf(error: unknown): string {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]*$/.test(code)) {
      return `no network, or no Hub there (${code})`;
    }
  }
  return "no network, or no Hub there";
}
