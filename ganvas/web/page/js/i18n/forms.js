// What forms say, in other languages: the server describes steps and settings in English, where they are declared.

import { language, Message } from "./index.js";

const STEPS_KO = {
  "colour": "부분의 색을 바꿉니다: 머리, 입술, 홍채, 피부, 눈썹, 옷. 빛과 그늘, 머리카락 한 올 한 올은 그대로입니다.",
  "teeth": "이를 더 하얗게: 노란 기를 줄이고 조금 밝게 합니다. 잇몸과 입술은 그대로입니다.",
  "smooth_skin": "피부를 더 매끈하게: 얼룩과 잔주름이 옅어지고 모공과 윤곽은 남습니다.",
  "bright_eyes": "눈을 더 밝게: 흰자위는 밝고 덜 붉게, 홍채는 또렷하게 합니다.",
  "blush": "볼에 색을 더합니다.",
  "background": "사람 뒤를 바꿉니다: 흐리게, 한 가지 색으로, 또는 투명하게.",
  "roll": "고개를 옆으로 기울입니다: 목을 축으로 돌고, 뒤의 배경은 자연스럽게 밀려납니다.",
};

const LABELS_KO = {
  "amount": "세기",
  "part": "부분",
  "colour": "색",
  "kind": "방식",
};

const CHOICES_KO = {
  "blur": "흐리게",
  "plain": "한 가지 색",
  "transparent": "투명",
};

const HELP_KO = {
  "colour.amount": "0 = 그대로, 1 = 새로운 색",
  "colour.part": "색을 바꿀 부분",
  "colour.colour": "새로운 색",
  "teeth.amount": "0 = 그대로, 1 = 자연스러워 보이는 만큼",
  "smooth_skin.amount": "0 = 그대로, 1 = 자연스러워 보이는 만큼",
  "bright_eyes.amount": "0 = 그대로, 1 = 자연스러워 보이는 만큼",
  "blush.amount": "0 = 그대로, 1 = 자연스러워 보이는 만큼",
  "blush.colour": "볼에 더할 색",
  "background.amount": "0 = 그대로. 흐릴 때는 얼마나 넓게",
  "roll.amount": "보이는 대로 시계 방향, - 는 반대 방향",
  "background.kind": "배경을 무엇으로 바꿀지",
  "background.colour": "한 가지 색일 때의 색",
  "training.family": "모델의 종류. own은 ganvas.train에 직접 넘긴 생성기와 판별기",
  "training.generator": "생성기 설정의 항목",
  "training.discriminator": "판별기 설정의 항목",
  "training.resolution": "한 변의 픽셀 수. none = 그림과 같게",
  "training.channels": "1 = 흑백, 3 = 색. none = 파일은 3, 그 밖에는 그림과 같게",
  "training.stream": "캐시 없이 학습하면서 그림을 풀어 읽음. 디스크에 다 담기지 않는 데이터용",
  "training.mirror": "모든 그림을 좌우로 뒤집어서도 보여 줌. 글자가 있으면 맞지 않음",
  "training.labels": "none, auto(그림에 딸린 것), folders 또는 FILE.csv:COLUMN",
  "training.total_kimg": "보여 줄 실제 그림 수, 천 장 단위",
  "training.minutes": "이어서 한 것까지 모두 이만큼 학습하면 멈춤",
  "training.batch_size": "한 단계의 그림 수, 모든 장치를 합해서",
  "training.micro_batch": "장치에서 한 번에 다룰 최대 수. none = 제 몫 전부",
  "training.loss": "판별기와 생성기의 손실",
  "training.real_target": "1보다 작으면 한쪽 라벨 완화. hinge에서는 거기서 1까지의 여유",
  "training.d_steps": "생성기 한 단계마다 판별기의 단계 수",
  "training.reconstruction": "다시 만든 그림의 가중치(fastgan만)",
  "training.pool": "D가 절반은 예전에 만든 그림 가운데 하나를 봄. 그 개수. 0 = 늘 최근 것",
  "training.blur_px": "처음에 D가 보는 모든 그림을 이만큼 흐리게 함. 0 = 안 함",
  "training.blur_kimg": "이만큼의 그림이 지나는 동안 흐림이 사라짐",
  "training.class_weight": "AC-GAN: D가 레이블을 맞히는 일의 가중치. 0 = D에게 레이블을 알려 줌",
  "training.categories": "InfoGAN: 데이터에 없는 G의 분류 수. 0 = 없음",
  "training.codes": "InfoGAN: 그림에서 읽어 낼 수 있는 z의 마지막 숫자 개수",
  "training.information": "InfoGAN: D가 읽어 내는 것의 가중치",
  "training.virtual_norm": "G의 가상 배치 정규화: 고정된 잠재 벡터 묶음의 크기. 0 = 묶음마다 따로",
  "training.r1_gamma": "실제 그림의 기울기 벌점 가중치. 0 = 끔",
  "training.r2_gamma": "만든 그림의 기울기 벌점 가중치. 0 = 끔",
  "training.gamma_end": "두 감마가 일정에 따라 이 값으로 감. none = 그대로",
  "training.gradient_penalty": "WGAN-GP의 가중치 λ. 0 = 끔",
  "training.clip_weights": "판별기 가중치를 ± 이 값 안에 둠(첫 WGAN은 0.01). 0 = 끔",
  "training.penalty_every": "n단계마다 n배로 기울기 벌점",
  "training.path_length": "경로 길이 정칙화의 가중치. StyleGAN2만",
  "training.path_every": "n단계마다 n배로 경로 길이",
  "training.augment": "판별기가 보는 그림의 증강",
  "training.augment_groups": "ADA, fixed, ramp의 묶음",
  "training.augment_policy": "DiffAugment의 방식",
  "training.augment_p": "fixed의 확률. ramp가 끝나는 값",
  "training.ada_target": "ADA가 목표로 하는, 실제로 판정된 실제 그림의 비율",
  "training.ada_kimg": "p가 0에서 1까지 오르는 데 걸리는 그림 수",
  "training.ada_p_max": "p의 최댓값",
  "training.ema": "생성기 가중치의 평균을 내는 방법",
  "training.ema_kimg": "반감기. cosine 일정에서는 0부터",
  "training.ema_ramp": "지금까지 본 그림의 최대 이 비율. none = 서서히 늘리지 않음",
  "training.ema_sigmas": "멱함수 평균의 상대 너비",
  "training.g_lr": "생성기의 학습률",
  "training.d_lr": "판별기의 학습률",
  "training.beta1": "Adam의 값",
  "training.beta2": "Adam의 값",
  "training.schedule": "학습률의 일정",
  "training.schedule_kimg": "cosine이 걸리는 길이. none = total_kimg의 절반",
  "training.lr_end": "cosine이 끝날 때 학습률의 비율",
  "training.beta2_end": "그때의 beta2",
  "training.mixing": "한 그림에 두 스타일을 섞을 확률",
  "training.w_avg_beta": "평균 잠재 벡터가 얼마나 느리게 따라가는지",
  "training.freeze_d": "그림 쪽부터 이만큼의 판별기 층은 아는 것을 그대로 둠",
  "training.sync_norm": "배치 정규화를 조각마다가 아니라 모든 프로세스에 걸쳐",
  "training.precision": "fast = 이 컴퓨터에서 이득이 잰 곳에서만 bfloat16",
  "training.compile": "생성기에 torch.compile. GPU에서 오래 학습할 때 이득",
  "training.tick_kimg": "기록 한 줄과 감시",
  "training.save_minutes": "이어 갈 수 있는 상태를 얼마나 자주 저장할지",
  "training.snapshot_kimg": "가중치, 그림 한 장, 지표를 남기는 간격",
  "training.metrics": "그때마다 재는 지표: none, fd, 또는 ganvas evaluate의 지표 여럿(fd,swd)",
  "training.metrics_num": "지표마다 만드는 그림 수",
  "training.watchdog": "실패하는 학습을 알아챔: 한 번 되돌려 고쳐 보고, 그래도 안 되면 멈춤",
  "training.seed": "무작위로 정하는 모든 것의 시드",
};

const TABLES_KO = { step: STEPS_KO, label: LABELS_KO, choice: CHOICES_KO, help: HELP_KO };

/** A text of the server that follows the language where there is a translation. */
class ServerText extends Message {
  constructor(kind, name, own, tail = "") {
    super(name, {});
    this.kind = kind;
    this.own = own;
    this.tail = tail;
  }

  toString() {
    return ((language === "ko" ? TABLES_KO[this.kind][this.name] : null) ?? this.own) + this.tail;
  }
}

/** What a step is for. */
export const aboutStep = (name, help) => new ServerText("step", name, help.split("\n")[0]);

/** A field's name; settings of a training run keep the names that the command line has. */
export const labelOf = (of, { name }) =>
  of === "training" ? name.replaceAll("_", " ") : new ServerText("label", name, name.replaceAll("_", " "));

/** What a field is for, with its unit. */
export const helpOf = (of, { name, help, unit }) =>
  new ServerText("help", `${of}.${name}`, help, unit ? ` (${unit})` : "");

/** One of the words that a field accepts. */
export const choiceOf = (word) => new ServerText("choice", word, word);
