/**
 * Loaded before a process of the product by `--import`: makes the changes of the broken build that BROKEN_BUILD names in
 * the sources it loads, so that the product needs no switch for it.
 */
import { brokenBuild } from "./builds.ts";
import { changeWhileLoading } from "./hooks.ts";

changeWhileLoading(brokenBuild(process.env["BROKEN_BUILD"] ?? "").changes);
