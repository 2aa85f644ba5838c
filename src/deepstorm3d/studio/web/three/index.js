// What the studio uses of three.js, from files that come with the program.
export * from "./three.module.min.js";
export { TrackballControls } from "./TrackballControls.js";
