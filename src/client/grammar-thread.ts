/** What a thread that compiles grammars runs: schemas and patterns are not trusted. */
import { workerPort } from "#threads";
import { answerTasks, type TaskAnswer } from "../platform/limited-tasks.js";
import { type GrammarTask, type GrammarTaskResult, runGrammarTask } from "./grammar-tasks.js";

answerTasks(workerPort<TaskAnswer<GrammarTaskResult>, GrammarTask>(), runGrammarTask);
