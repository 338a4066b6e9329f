/**
 * Responses that are kept for later requests of the same API key: their items by id, and each with all that came before it.
 * Owns them, in memory. Bounded for each key by number, bytes and time: over a bound, those that were not used for longest
 * go. An item is kept, and counted, once, however many responses have it in their past, and as long as one of them is kept.
 */
import { ApiError } from "../api-error.js";
import type { Principal } from "../keys.js";
import type { ServerLimits } from "../limits.js";

/** An item as JSON text; its id is in it, too. */
export interface StoredItem {
  readonly id: string;
  readonly json: string;
}

/** A response that has been answered. */
export interface StoredResponse {
  readonly id: string;
  /** JSON, as it was answered. */
  readonly body: string;
  /** All that came before its answer, items of earlier responses included. */
  readonly input: readonly StoredItem[];
  readonly output: readonly StoredItem[];
}

interface KeptItem {
  readonly item: StoredItem;
  /** The responses that have it, in the order in which they came. */
  readonly holders: Set<KeptResponse>;
}

interface KeptResponse {
  readonly response: StoredResponse;
  /** When its time is up, by the monotonic clock. */
  deadline: number;
}

/** What one key has. */
interface Account {
  /** Those that were used longest ago first. */
  readonly responses: Map<string, KeptResponse>;
  readonly items: Map<string, KeptItem>;
  bytes: number;
}

type StoreLimits = Pick<ServerLimits, "responses" | "responseBytes" | "responseSeconds">;

/** Bytes of a text in memory at most, and of what keeps an item or a response. */
const BYTES_PER_CHARACTER = 2;
const ITEM_OVERHEAD = 256;
const RESPONSE_OVERHEAD = 512;
/** Bytes of a response's reference to an item. */
const REFERENCE_BYTES = 96;
/** Milliseconds between looks for those whose time is up. */
const SWEEP_MS = 1000;

export class StoredResponses {
  readonly #limits: StoreLimits;
  readonly #accounts = new Map<string, Account>();
  readonly #sweeper: ReturnType<typeof setInterval>;

  constructor(limits: StoreLimits) {
    this.#limits = limits;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    (this.#sweeper as { unref?: () => void }).unref?.();
  }

  /** What each key has; none: nothing. */
  get accounts(): ReadonlyMap<string, { readonly count: number; readonly bytes: number }> {
    const sizes = [...this.#accounts].map(
      ([name, { responses, bytes }]) => [name, { count: responses.size, bytes }] as const,
    );
    return new Map(sizes);
  }

  /** Whether one of that size would be kept. */
  fits({ body, input, output }: StoredResponse): boolean {
    const { responses, responseBytes } = this.#limits;
    const items = [...input, ...output];
    const bytes = items.reduce((sum, item) => sum + itemBytes(item), responseOwnBytes(body, items.length));
    return responses > 0 && bytes <= responseBytes;
  }

  /** Keeps it, if it `fits`; others give way. */
  keep({ name }: Principal, response: StoredResponse): void {
    if (!this.fits(response)) return;
    const account = this.#accounts.get(name) ?? { responses: new Map(), items: new Map(), bytes: 0 };
    this.#accounts.set(name, account);
    const kept: KeptResponse = { response, deadline: this.#deadline() };
    account.responses.set(response.id, kept);
    const items = itemsOf(response);
    account.bytes += responseOwnBytes(response.body, items.length);
    for (const item of items) {
      const known = account.items.get(item.id);
      if (known === undefined) {
        account.items.set(item.id, { item, holders: new Set([kept]) });
        account.bytes += itemBytes(item);
      } else known.holders.add(kept);
    }
    const { responses, responseBytes } = this.#limits;
    for (const oldest of account.responses.values()) {
      if (account.responses.size <= responses && account.bytes <= responseBytes) break;
      this.#drop(name, account, oldest);
    }
  }

  /**
   * One of a key's own; its time begins anew.
   * @returns null for any other, whether it exists or not
   */
  find({ name }: Principal, id: string): StoredResponse | null {
    this.#sweep();
    const account = this.#accounts.get(name);
    const kept = account?.responses.get(id);
    if (account === undefined || kept === undefined) return null;
    this.#renew(account, kept);
    return kept.response;
  }

  /** An item of one of a key's own, whose time begins anew; null for any other. */
  item({ name }: Principal, id: string): StoredItem | null {
    this.#sweep();
    const account = this.#accounts.get(name);
    const kept = account?.items.get(id);
    if (account === undefined || kept === undefined) return null;
    const holder = [...kept.holders].at(-1);
    if (holder !== undefined) this.#renew(account, holder);
    return kept.item;
  }

  /** Forgets one of a key's own, and the items that no other has. @returns whether there was one */
  delete({ name }: Principal, id: string): boolean {
    this.#sweep();
    const account = this.#accounts.get(name);
    const kept = account?.responses.get(id);
    if (account === undefined || kept === undefined) return false;
    this.#drop(name, account, kept);
    return true;
  }

  dispose(): void {
    clearInterval(this.#sweeper);
    this.#accounts.clear();
  }

  #renew(account: Account, kept: KeptResponse): void {
    kept.deadline = this.#deadline();
    const { id } = kept.response;
    account.responses.delete(id);
    account.responses.set(id, kept);
  }

  #drop(name: string, account: Account, kept: KeptResponse): void {
    const { response } = kept;
    account.responses.delete(response.id);
    const items = itemsOf(response);
    account.bytes -= responseOwnBytes(response.body, items.length);
    for (const { id } of items) {
      const known = account.items.get(id);
      known?.holders.delete(kept);
      if (known === undefined || known.holders.size > 0) continue;
      account.items.delete(id);
      account.bytes -= itemBytes(known.item);
    }
    if (account.responses.size === 0) this.#accounts.delete(name);
  }

  #deadline(): number {
    return performance.now() + this.#limits.responseSeconds * 1000;
  }

  /** Those that were used longest ago come first, and so do those whose time is up. */
  #sweep(): void {
    const now = performance.now();
    for (const [name, account] of [...this.#accounts]) {
      for (const kept of [...account.responses.values()]) {
        if (kept.deadline > now) break;
        this.#drop(name, account, kept);
      }
    }
  }
}

function itemsOf({ input, output }: StoredResponse): readonly StoredItem[] {
  return [...input, ...output];
}

function itemBytes({ json }: StoredItem): number {
  return json.length * BYTES_PER_CHARACTER + ITEM_OVERHEAD;
}

function responseOwnBytes(body: string, items: number): number {
  return body.length * BYTES_PER_CHARACTER + RESPONSE_OVERHEAD + items * REFERENCE_BYTES;
}

/** What any request gets for a response that it cannot have. */
export function responseNotFound(id: string): ApiError {
  return new ApiError(404, "response_not_found", `Response with id '${id.slice(0, 80)}' not found.`);
}
