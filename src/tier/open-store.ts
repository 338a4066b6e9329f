/** Opens the store that settings name. */
import { type DirectorySettings, openDirectoryStore } from "./directory-store.js";
import { openRedisStore, type RedisSettings } from "./redis-store.js";
import type { TierStore } from "./store.js";

/** Which store, and how records are kept in it: plain data. */
export type StoreSettings =
  | ({ readonly kind: "redis" } & Omit<RedisSettings, "longestRecord">)
  | ({ readonly kind: "directory" } & Omit<DirectorySettings, "longestRecord">);

/**
 * @param longestRecord bytes
 * @throws LastrowError for settings that cannot be used; a store that cannot be reached is no error
 */
export async function openStore(settings: StoreSettings, longestRecord: number): Promise<TierStore> {
  return settings.kind === "redis"
    ? openRedisStore({ ...settings, longestRecord })
    : openDirectoryStore({ ...settings, longestRecord });
}
