/** Which of a repository's GGUF files a Hub name means, and how that is told. */
import { LastrowError } from "../errors.js";
import {
  choiceNotices,
  chooseGguf,
  type GgufModel,
  ggufModels,
  isSafetensorsFolder,
  type ListedFile,
  shardsOf,
} from "../formats/gguf-names.js";
import { DEFAULT_REVISION, type HubName } from "./hub-name.js";

export interface ChosenGguf {
  /** Paths of its files in the repository, in the order of their shards; all of them are there. */
  readonly paths: readonly string[];
  /** A name that means just this model. */
  readonly label: string;
  readonly notices: readonly string[];
}

/**
 * The GGUF model that a name means; null where it leaves the choice to the repository, and that has safetensors or no GGUF.
 * @param given the name as it was given
 * @param listed all files of the repository that bear on it: GGUF files, the config, and safetensors
 * @throws LastrowError `hub_not_found` when there is no such file, `invalid_argument` when several fit
 */
export function chosenGguf(name: HubName, given: string, listed: readonly ListedFile[]): ChosenGguf | null {
  const paths = new Set(listed.map(({ path }) => path));
  const models = ggufModels(listed);
  if (name.gguf === null && (isSafetensorsFolder(paths) || models.length === 0)) return null;
  const chosen = modelOf(name, models, paths);
  const lost = chosen.paths.find((path) => !paths.has(path));
  if (lost !== undefined) {
    throw new LastrowError(
      "hub_not_found",
      `${repoOf(name)} has no ${lost} on the Hub, a shard of its model.`,
    );
  }
  if (name.gguf !== null) return { paths: chosen.paths, label: given, notices: [] };
  const example = models.find((model) => model !== chosen);
  const remedy =
    example === undefined ? "" : `add its type or its name, such as ${nameOf(name, example, models)}`;
  return {
    paths: chosen.paths,
    label: nameOf(name, chosen, models),
    notices: choiceNotices(chosen, models, remedy),
  };
}

function modelOf(name: HubName, models: readonly GgufModel[], paths: ReadonlySet<string>): GgufModel {
  const words = {
    label: repoOf(name),
    notFound: "hub_not_found",
    remedy: (example: GgufModel) => `name one, such as ${nameOf(name, example, models)}`,
  } as const;
  if (name.gguf === null) return chooseGguf(models, null, words);
  if ("tag" in name.gguf) return chooseGguf(models, name.gguf.tag, words);
  const { path } = name.gguf;
  // What is asked for by its own name need not be the weights of a language model.
  if (paths.has(path)) return { paths: shardsOf(path), tag: null, bytes: 0 };
  return chooseGguf(models, path, words);
}

/** The shortest name that means a model, and no other of its repository. */
function nameOf(name: HubName, { tag, paths: [path] }: GgufModel, models: readonly GgufModel[]): string {
  const isAlone = tag !== null && models.filter((model) => model.tag === tag).length === 1;
  const revision = name.revision === DEFAULT_REVISION ? "" : `@${name.revision}`;
  return `${name.repo}${isAlone ? `:${tag}` : `/${path}`}${revision}`;
}

/** A repository as messages name it. */
export function repoOf({ repo, revision }: HubName): string {
  return revision === DEFAULT_REVISION ? repo : `${repo} at revision ${revision}`;
}
