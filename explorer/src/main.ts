/** Starts the page. */
import "./design/tokens.css";
import "./design/base.css";
import "./design/parts.css";
import { mount } from "svelte";
import App from "./App.svelte";

const target = document.querySelector("#app");
if (target === null) throw new Error("the page has no #app");
mount(App, { target });
