/** What there is to say of vectors of texts, and what a model has whose files say nothing: embedding-settings.ts reads others. */

/** Which rows of a text its vector is made of: the last token's, or all of them. */
export type Pooling = "last" | "mean";

/** What a model's files say of vectors of texts. */
export interface EmbeddingSettings {
  /** Null: the files do not say. */
  readonly pooling: Pooling | null;
  /** Why no vectors are made with this model, in words that follow its name; null: they are. */
  readonly refused: string | null;
  /** Texts that are put in front of a text, by what it is: `query`, say. */
  readonly prompts: Readonly<Record<string, string>>;
  /** The one of them that counts where none is asked for; null: none. */
  readonly defaultPrompt: string | null;
  /** The files say that the model rates how well a document answers a query, with these tokens where they say which. */
  readonly ranking: RankingSettings | null;
}

/** Tokens whose logits say how well a document answers. */
export interface RankingSettings {
  /** Id of the token for a good one; null: the files do not say. */
  readonly yes: number | null;
  /** Id of the token for another; null: the files do not say, or there is none. */
  readonly no: number | null;
}

/** Of a model whose files say nothing. */
export const NO_EMBEDDING: EmbeddingSettings = {
  pooling: null,
  refused: null,
  prompts: {},
  defaultPrompt: null,
  ranking: null,
};

/** The file without which a folder says nothing. */
export const MODULES = "modules.json";

/** Why a model that answers queries with scores makes no vectors. */
export const RANKS = "rates documents for a query (rank), and gives no vectors";

/** Why one makes none that pools in another way. */
export function notPooled(what: string): string {
  return `has ${what}, which is not run: vectors are made of the last token's row or of the mean of all`;
}
