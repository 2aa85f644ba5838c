// The points of a cloud on their way from the server to the graphics card: chunks of 8 bytes a point, shuffled, so
// that the first chunks are a fair sample of all.
import * as THREE from "deepstorm3d-three";

// Colours are written to the screen as they are, so the shaders are raw.
const VERTEX = `
  precision highp float;
  attribute vec3 position;
  attribute float code;
  uniform mat4 modelViewMatrix, projectionMatrix;
  uniform vec3 box, slabLow, slabHigh;
  uniform sampler2D palette;
  uniform float pixels, near, bySigma, sigmaStep, perMicron;
  varying vec3 colour;
  void main() {
    if (any(lessThan(position, slabLow)) || any(greaterThan(position, slabHigh))) {
      gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
      gl_PointSize = 1.0;
      return;
    }
    // x right, y down, z away from the viewer, as in the pictures.
    vec4 eye = modelViewMatrix * vec4((position - 0.5) * box * vec3(1.0, -1.0, -1.0), 1.0);
    gl_Position = projectionMatrix * eye;
    float width = floor(code / 256.0), shade = code - 256.0 * width;
    colour = texture2D(palette, vec2((shade + 0.5) / 256.0, 0.5)).rgb;
    float wide = pixels * near / -eye.z;
    if (bySigma > 0.5 && width > 0.5) wide = 2.0 * pixels * width * sigmaStep * perMicron / -eye.z;
    gl_PointSize = clamp(wide, 1.0, 64.0);
  }`;
const FRAGMENT = `
  precision mediump float;
  uniform float light;
  varying vec3 colour;
  void main() {
    gl_FragColor = vec4(colour, light);
  }`;

// Give the points these 256 CSS colours.
export function paint(material, colours) {
  const { value: palette } = material.uniforms.palette;
  palette.image.data.set(bytesOf(colours));
  palette.needsUpdate = true;
}

function bytesOf(colours) {
  const data = new Uint8Array(4 * colours.length);
  colours.forEach((css, i) => {
    const value = parseInt(css.slice(1), 16);
    data.set([value >> 16, (value >> 8) & 255, value & 255, 255], 4 * i);
  });
  return data;
}

export function pointMaterial(colours) {
  const palette = new THREE.DataTexture(bytesOf(colours), colours.length, 1);
  palette.needsUpdate = true;
  return new THREE.RawShaderMaterial({
    uniforms: {
      box: { value: new THREE.Vector3(1, 1, 1) },
      slabLow: { value: new THREE.Vector3(0, 0, 0) },
      slabHigh: { value: new THREE.Vector3(1, 1, 1) },
      palette: { value: palette },
      pixels: { value: 1.5 },
      near: { value: 1 },
      bySigma: { value: 0 },
      sigmaStep: { value: 0.0005 },
      perMicron: { value: 1 },
      light: { value: 1 },
    },
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    blending: THREE.NoBlending,
  });
}

// One chunk as an object of the scene; its copy in the page's memory goes when the graphics card has it.
function chunkPoints(buffer, material) {
  const codes = new Uint16Array(buffer), interleaved = new THREE.InterleavedBuffer(codes, 4);
  interleaved.onUpload(() => { interleaved.array = new Uint16Array(0); });
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.InterleavedBufferAttribute(interleaved, 3, 0, true));
  geometry.setAttribute("code", new THREE.InterleavedBufferAttribute(interleaved, 1, 3, false));
  const count = codes.length / 4, points = new THREE.Points(geometry, material);
  geometry.setDrawRange(0, count);
  geometry.boundingSphere = new THREE.Sphere(new THREE.Vector3(), 1); // not asked of points that are gone
  points.frustumCulled = false;
  points.userData.count = count;
  return points;
}

// Fetch all chunks, one after the other, and hand each on; stops when the signal says so.
export async function loadPoints(address, header, material, signal, take) {
  const chunks = Math.ceil(header.points / header.chunk), [path, query] = address.split("?");
  for (let number = 0; number < chunks; number++) {
    const answer = await fetch(`${path}/${number}?${query}`, { signal });
    if (!answer.ok) throw new Error(await answer.text());
    const points = chunkPoints(await answer.arrayBuffer(), material);
    if (signal.aborted) { points.geometry.dispose(); return; }
    take(points);
  }
}
