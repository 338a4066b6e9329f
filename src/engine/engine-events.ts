/**
 * What happens in an engine, told to those that listen: each is told what it asked for, and nothing else is built. Owns the
 * listeners, and whether the KV cache has one.
 */
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { EngineEvent, EngineEventType } from "../protocol/engine-stats.js";

/** Event types that the core itself sends; the others come from the KV cache. */
const OWN_EVENTS: ReadonlySet<EngineEventType> = new Set<EngineEventType>(["preempted", "step"]);

export class EngineEvents {
  readonly #kvCache: KvCache;
  /** Event types that each listener asked for; null: all. */
  readonly #listeners = new Map<(event: EngineEvent) => void, ReadonlySet<EngineEventType> | null>();

  constructor(kvCache: KvCache) {
    this.#kvCache = kvCache;
  }

  /** Whether there is a listener: without one, no event need be built. */
  get isHeard(): boolean {
    return this.#listeners.size > 0;
  }

  /** Returns how to stop it. @param types requested event types; null: all */
  listen(listener: (event: EngineEvent) => void, types: ReadonlySet<EngineEventType> | null): () => void {
    this.#listeners.set(listener, types);
    this.#listenToCache();
    return () => {
      this.#listeners.delete(listener);
      this.#listenToCache();
    };
  }

  tell(event: EngineEvent): void {
    for (const [listener, types] of this.#listeners) if (types?.has(event.type) ?? true) listener(event);
  }

  #listenToCache(): void {
    const wanted = [...this.#listeners.values()].some(
      (types) => types === null || [...types].some((type) => !OWN_EVENTS.has(type)),
    );
    this.#kvCache.listener = wanted ? (event) => this.tell(event) : null;
  }
}
