/**
 * `lastrow/tier`: blocks of K and V that several processes and machines share, so that what one has computed the others load. A loaded block
 * has the bits of a computed one, or is not used. Node only.
 *
 *   const key = await readTierKey("/etc/lastrow/tier.key");                   // openssl rand -out tier.key 32; chmod 600
 *   const tier = redisTier({ url: "redis://10.0.0.5", key });                 // or directoryTier({ folder: "/srv/tier", key })
 *   const lm = await load("openai-community/gpt2", { tier });
 */
export {
  type DirectoryTierOptions,
  directoryTier,
  type RedisTierOptions,
  redisTier,
  type TierOptions,
} from "./kv-tier.js";
export { readTierKey } from "./tier-key.js";
