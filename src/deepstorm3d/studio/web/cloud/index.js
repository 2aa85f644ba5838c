// What `cloud_view.js` is made of besides three.js: points on their way to the graphics card, and films.
export { loadPoints, paint, pointMaterial } from "./points.js";
export { makeFilm, saveFile } from "./film.js";
