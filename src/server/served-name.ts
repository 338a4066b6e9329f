/** What a server calls its model where no name is given. */
import { basename } from "node:path";
import type { ModelSource } from "../platform/platform.js";

/** A Hub name as it is; of a path or an address only its end, since the rest must not be shown. */
export function servedName(model: ModelSource | undefined): string {
  if (model === undefined) return "stories";
  if (model instanceof URL) return basename(model.pathname) || "model";
  if (typeof model !== "string") return "model";
  if (/^https?:/i.test(model) && URL.canParse(model)) return servedName(new URL(model));
  const isPath = /^[./~]|^[a-z]+:\/\/|\\/i.test(model) || model.split("/").length > 2;
  return isPath ? basename(model.replace(/[/\\]+$/, "")) || "model" : model;
}

/** Whether a server may call a model so. */
export function isModelId(id: string): boolean {
  return id.length <= 200 && /^[\p{L}\p{N}](?:[\p{L}\p{N}._@:/-]*[\p{L}\p{N}._@-])?$/u.test(id);
}
