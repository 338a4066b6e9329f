/**
 * The platform where a bundler does not say for which runtime it builds, as Rollup does not by itself: the bundle has
 * both, and takes one of them when it runs.
 */
import type { Platform } from "./platform.js";
import { isNode } from "./runtime.js";

export const platform: Platform = (await (isNode ? import("./node.js") : import("./browser.js"))).platform;
