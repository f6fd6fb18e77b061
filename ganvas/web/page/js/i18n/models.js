// What the catalogue says of its models, in other languages; the catalogue itself speaks English.

import { language, t } from "./index.js";

const ABOUT_KO = {
  "faces": "MobileStyleGAN: 1024픽셀 얼굴, 작고 CPU에서도 빠름; 잠재 벡터 23행",
  "compact-x4": "사진용 소형 4배 확대, 자유 이용 그림으로 학습: CPU의 기본값; 없는 디테일을 만들지 않음",
  "realesr-animevideov3": "Real-ESRGAN 소형 4배: 빠르고 그림용; 사진은 매끈해짐",
  "realesr-animevideov3-x3": "같은 신경망, 3배",
  "realesr-animevideov3-x2": "같은 신경망, 2배",
  "realesrgan-x4plus": "사진용 Real-ESRGAN 4배: 최고 품질; 빠른 것보다 가중치가 27배",
  "realesrgan-x4plus-anime": "그림용 Real-ESRGAN 4배, 6블록",
  "vintage": "CycleGAN: 사진을 수십 년 전처럼 보이게 함",
  "efficientnet-lite0": "EfficientNet-Lite0: 지각 손실과 프레셰 거리를 위한 특징",
  "mtcnn": "MTCNN: 얼굴과 다섯 개의 특징점을 찾음",
  "RealESRGAN_x4plus": "저자가 공개한 그대로의 realesrgan-x4plus (float32)",
  "RealESRGAN_x2plus": "사진용 Real-ESRGAN 2배",
  "RealESRGAN_x4plus_anime_6B": "저자가 공개한 그대로의 realesrgan-x4plus-anime (float32)",
  "realesr-general-x4v3": "사진용 Real-ESRGAN 소형 4배, 강한 잡음 제거",
  "realesr-general-wdn-x4v3": "약한 잡음 제거 변형: ‘ganvas upscale -dn’으로 섞어 씀",
  "stylegan2-ffhq-1024": "StyleGAN2: 얼굴, 1024픽셀",
  "stylegan2-metfaces-1024": "StyleGAN2-ADA: 그림 속 얼굴, 1024픽셀",
  "stylegan2-afhqcat-512": "StyleGAN2-ADA: 고양이, 512픽셀",
  "stylegan2-afhqdog-512": "StyleGAN2-ADA: 개, 512픽셀",
  "stylegan2-afhqwild-512": "StyleGAN2-ADA: 야생 동물, 512픽셀",
  "stylegan2-ffhq-512": "StyleGAN2: 얼굴, 512픽셀",
  "stylegan2-ffhq-256": "StyleGAN2: 얼굴, 256픽셀",
  "stylegan3-t-ffhq-1024": "StyleGAN3-T: 얼굴, 1024픽셀",
  "stylegan3-t-ffhqu-256": "StyleGAN3-T: 정렬하지 않은 얼굴, 256픽셀",
  "stylegan3-t-metfaces-1024": "StyleGAN3-T: 그림 속 얼굴, 1024픽셀",
  "stylegan3-t-afhqv2-512": "StyleGAN3-T: 동물 얼굴, 512픽셀",
  "stylegan3-r-ffhq-1024": "StyleGAN3-R: 얼굴, 1024픽셀",
  "stylegan3-r-ffhqu-256": "StyleGAN3-R: 정렬하지 않은 얼굴, 256픽셀",
  "stylegan3-r-metfaces-1024": "StyleGAN3-R: 그림 속 얼굴, 1024픽셀",
  "stylegan3-r-afhqv2-512": "StyleGAN3-R: 동물 얼굴, 512픽셀",
};

const LICENCES_KO = {
  "non-commercial": "비상업적 이용만",
  "your own": "직접 만든 것",
  "see its file": "파일 참고",
};

const TRAINED = "runs/"; // how names of what was trained here begin

/** A model in the reader's language. */
export function aboutOf({ name, about }) {
  if (name.startsWith(TRAINED)) return t("models.trained", { name: name.slice(TRAINED.length) });
  return (language === "ko" ? ABOUT_KO[name] : null) ?? about;
}

/** A licence's name; what is no name but words is translated. */
export const licenceOf = (licence) => (language === "ko" ? LICENCES_KO[licence] : null) ?? licence;
