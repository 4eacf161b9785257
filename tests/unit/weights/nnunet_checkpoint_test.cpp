// Checkpoints of nnU-Net: one that nnunetv2's trainer wrote (tests/golden/make_nnunet_checkpoint.py), and ours, which
// that script's --check reads.
#include "vmae/weights/nnunet_checkpoint.h"

#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <nlohmann/json.hpp>

#include "helpers.h"
#include "support/golden.h"
#include "support/nnunet_nets.h"
#include "support/source_path.h"
#include "support/temp_folder.h"
#include "support/tensors.h"
#include "vmae/nn/nnunet.h"
#include "vmae/weights/nnunet.h"
#include "vmae/weights/pth.h"
#include "vmae/weights/unpickle.h"
#include "vmae/weights/weights.h"

namespace vmae::weights {
namespace {

using Json = nlohmann::ordered_json;

std::filesystem::path golden_checkpoint() { return test::source_path("tests/golden/nnunet_checkpoint.pth"); }

nn::NnUnet net_of_plans(const Json& plans, int64_t heads) {
  const Json& plan = plans.at("configurations").at("2d");
  const Json& arguments = plan.at("architecture").at("arch_kwargs");
  nn::UnetOptions options{.num_classes = heads};
  options.swin.image_size = plan.at("patch_size").get<std::vector<int64_t>>();
  options.swin.in_channels = 1;
  options.nnunet = {
      .features_per_stage = arguments.at("features_per_stage").get<std::vector<int64_t>>(),
      .kernel_sizes = test::joined_pairs(arguments.at("kernel_sizes")),
      .strides = test::joined_pairs(arguments.at("strides")),
      .n_conv_per_stage = arguments.at("n_conv_per_stage").get<std::vector<int64_t>>(),
      .n_conv_per_stage_decoder = arguments.at("n_conv_per_stage_decoder").get<std::vector<int64_t>>(),
      .conv_bias = arguments.at("conv_bias").get<bool>(),
  };
  return nn::NnUnet(options);
}

at::Tensor logits_of(nn::NnUnet& net, const Json& plans) {
  const auto size = plans.at("configurations").at("2d").at("patch_size").get<std::vector<int64_t>>();
  const at::NoGradGuard no_grad;
  return net->forward(0.1 * test::golden_image(/*seed=*/5, {2, 1, size[0], size[1]}));
}

// The dict of a checkpoint, to be changed and written as torch.save would.
using Root = c10::impl::GenericDict;
Root new_dict() { return Root(c10::StringType::get(), c10::AnyType::get()); }

void remove(const Root& root, const char* key) { ASSERT_EQ(root.erase(key), 1u); }

void write_root(const std::filesystem::path& path, const Root& root) {
  std::string pickle;
  torch::jit::Pickler pickler([&](const char* bytes, size_t size) { pickle.append(bytes, size); }, nullptr, nullptr,
                              nullptr, nullptr, /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(root);
  pickler.stop();
  caffe2::serialize::PyTorchStreamWriter writer(path.string());
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  size_t index = 0;
  for (const at::Tensor& tensor : pickler.tensorData())
    writer.writeRecord(concat("data/", index++), tensor.const_data_ptr(), tensor.nbytes());
  writer.writeEndOfFile();
}

class NnUnetCheckpoint : public ::testing::Test {
 protected:
  // A whole one: a network of two convolutions, which is enough for the facts.
  Root small_root(const std::string& prefix = "") {
    Root weights = new_dict(), arguments = new_dict(), plans = new_dict(), root = new_dict();
    const at::Tensor weight = at::ones({1, 1, 3, 3});
    for (const char* key : {"encoder.stages.0.0.convs.0.conv.weight", "encoder.stages.0.0.convs.0.all_modules.0.weight",
                            "decoder.encoder.stages.0.0.convs.0.conv.weight"})
      weights.insert(prefix + key, weight);
    weights.insert(prefix + "decoder.seg_layers.0.weight", at::ones({2, 1, 1, 1}));
    plans.insert("plans_name", "of the checkpoint");
    arguments.insert("plans", plans);
    arguments.insert("dataset_json", new_dict());
    arguments.insert("configuration", "2d");
    arguments.insert("fold", "all");
    root.insert("network_weights", weights);
    root.insert("init_args", arguments);
    root.insert("trainer_name", "nnUNetTrainerNoMirroring");
    root.insert("inference_allowed_mirroring_axes", at::IValue());
    return root;
  }
  Root part(const Root& root, const char* key) { return root.at(key).toGenericDict(); }

  NnUnetCheckpointFacts facts_of(const TensorFile& file) {
    NnUnetCheckpointFacts facts;
    facts.plans = file.metadata.at("nnunet_plans");
    facts.dataset = file.metadata.at("nnunet_dataset");
    return facts;
  }

  test::TempFolder folder_;
  const std::filesystem::path fold_ = folder_.path() / "fold_0", path_ = fold_ / "checkpoint_final.pth";
  void SetUp() override { std::filesystem::create_directories(fold_); }
};

TEST_F(NnUnetCheckpoint, OfNnUnetsTrainerIsRead) {
  const TensorFile file = read_nnunet_checkpoint(golden_checkpoint());
  EXPECT_TRUE(is_nnunet_checkpoint(file));
  const Metadata& facts = file.metadata;
  EXPECT_EQ(facts.at("model"), "nnunet");
  EXPECT_EQ(facts.at("nnunet_configuration"), "2d");
  EXPECT_EQ(facts.at("nnunet_fold"), "0");
  EXPECT_EQ(facts.at("nnunet_trainer"), "nnUNetTrainer");
  EXPECT_EQ(facts.at("nnunet_mirror_axes"), "[0,1]");
  EXPECT_EQ(facts.at("current_epoch"), "2");
  EXPECT_EQ(facts.at("nnunet_dataset"),
            R"({"channel_names":{"0":"MRI"},"labels":{"background":0,"whole":[1,2],"core":2},)"
            R"("regions_class_order":[1,2],"numTraining":4,"file_ending":".nii.gz"})")
      << "in the order of the file";
  std::ifstream datasets(test::source_path("tests/golden/nnunet_datasets.json"));
  Json plans = Json::parse(datasets).at("isotropic").at("plans");
  Json& plan = plans.at("configurations").at("2d");
  plan.at("architecture").at("arch_kwargs").at("features_per_stage") = {4, 6, 8, 8};
  plan.at("batch_size") = 2;
  EXPECT_EQ(facts.at("nnunet_plans"), plans.dump());
}

TEST_F(NnUnetCheckpoint, ComputesNnUnetsLogits) {
  const TensorFile file = read_weights(golden_checkpoint());
  const Json plans = Json::parse(file.metadata.at("nnunet_plans"));
  nn::NnUnet net = net_of_plans(plans, 2);
  require_complete(load_into(*net, file), golden_checkpoint());
  EXPECT_EQ(file.tensors.size(), net->parameters().size()) << "each tensor once";
  const at::Tensor expected = *test::golden("nnunet_checkpoint_io").find("logits");
  EXPECT_LT(test::relative_difference(test::sampled(logits_of(net, plans)), expected), 1e-5);
}

TEST_F(NnUnetCheckpoint, EveryReaderGivesTheSame) {
  const TensorFile file = read_nnunet_checkpoint(golden_checkpoint());
  for (const TensorFile& other : {read_weights(golden_checkpoint()), read_pth(golden_checkpoint())}) {
    EXPECT_EQ(first_difference(other.tensors, file.tensors), "");
    EXPECT_EQ(other.metadata, file.metadata);
  }
}

TEST_F(NnUnetCheckpoint, RoundTrip) {
  const TensorFile file = read_nnunet_checkpoint(golden_checkpoint());
  NnUnetCheckpointFacts facts = facts_of(file);
  facts.log.resize(2);
  NamedTensors state = file.tensors;
  state[0].second = at::cat({state[0].second, state[0].second}).slice(0, 0, state[0].second.size(0));  // a part of more
  write_nnunet_checkpoint(path_, state, facts);
  const TensorFile again = read_nnunet_checkpoint(path_);
  EXPECT_EQ(first_difference(again.tensors, file.tensors), "");
  for (const auto& [key, value] : file.metadata) {
    if (key.starts_with("nnunet_") || key == "model" || key == "current_epoch" || key == "trainer_name") {
      EXPECT_EQ(again.metadata.at(key), value) << key;
    }
  }
  int64_t bytes = 0;
  for (const auto& [key, tensor] : file.tensors) bytes += static_cast<int64_t>(tensor.nbytes());
  EXPECT_LT(std::filesystem::file_size(path_), bytes + 300 * 4 * file.tensors.size()) << "copies share their storage";
  facts.fold = "all";
  facts.trainer = "nnUNetTrainer_vmae";
  facts.mirror_axes = {};
  facts.configuration = "2d_small";
  write_nnunet_checkpoint(path_, file.tensors, facts);
  const Metadata other = read_nnunet_checkpoint(path_).metadata;
  EXPECT_EQ(other.at("nnunet_fold"), "all");
  EXPECT_EQ(other.at("nnunet_trainer"), facts.trainer);
  EXPECT_EQ(other.at("nnunet_mirror_axes"), "[]");
  EXPECT_EQ(other.at("nnunet_configuration"), "2d_small");
}

// Beside the weights, the same keys and kinds of values as in nnU-Net's own.
TEST_F(NnUnetCheckpoint, HasWhatNnUnetsHas) {
  const TensorFile file = read_nnunet_checkpoint(golden_checkpoint());
  NnUnetCheckpointFacts facts = facts_of(file);
  facts.log = {
      {.dice = {0.5, NAN, 0.7}, .train_loss = -0.25, .val_loss = 0.5, .lr = 0.01, .begin_s = 10, .end_s = 20},
      {.dice = {0.1, 0.1, 0.1}, .train_loss = -0.5, .val_loss = 0.25, .lr = 0.009, .begin_s = 20, .end_s = 31}};
  write_nnunet_checkpoint(path_, file.tensors, facts);
  const auto pickle_of = [](const std::filesystem::path& path) {
    caffe2::serialize::PyTorchStreamReader reader(path.string());
    const auto [bytes, size] = reader.getRecord("data.pkl");
    return Pickle(std::string_view(static_cast<const char*>(bytes.get()), size));
  };
  const Pickle ours = pickle_of(path_), theirs = pickle_of(golden_checkpoint());
  const auto keys = [](const Value& dict) {
    std::vector<std::string> names;
    for (const auto& [key, value] : dict.entries) names.push_back(key->text);
    return names;
  };
  EXPECT_EQ(keys(ours.root()), keys(theirs.root()));
  for (const char* dict : {"network_weights", "logging"})
    EXPECT_EQ(keys(*ours.root().find(dict)), keys(*theirs.root().find(dict))) << dict;
  const Value &our_group = *ours.root().find("optimizer_state")->find("param_groups")->items.at(0),
              &group = *theirs.root().find("optimizer_state")->find("param_groups")->items.at(0);
  EXPECT_EQ(keys(our_group), keys(group));
  EXPECT_EQ(our_group.find("params")->items.size(), group.find("params")->items.size());
  for (const char* key : {"momentum", "weight_decay", "dampening", "initial_lr"})
    EXPECT_EQ(our_group.find(key)->real, group.find(key)->real) << key;
  EXPECT_EQ(our_group.find("nesterov")->integer, 1);
  const Value& log = *ours.root().find("logging");
  const auto numbers = [&](const char* key) {
    std::vector<double> values;
    for (const Value* value : log.find(key)->items) values.push_back(value->real);
    return values;
  };
  ASSERT_EQ(numbers("mean_fg_dice").size(), 2u);
  EXPECT_DOUBLE_EQ(numbers("mean_fg_dice")[0], 0.6);
  EXPECT_DOUBLE_EQ(numbers("ema_fg_dice")[0], 0.6);
  EXPECT_DOUBLE_EQ(numbers("ema_fg_dice")[1], 0.6 * 0.9 + 0.1 * 0.1);
  EXPECT_DOUBLE_EQ(ours.root().find("_best_ema")->real, 0.6);
  EXPECT_EQ(numbers("train_losses"), (std::vector<double>{-0.25, -0.5}));
  EXPECT_EQ(numbers("val_losses"), (std::vector<double>{0.5, 0.25}));
  EXPECT_EQ(numbers("lrs"), (std::vector<double>{0.01, 0.009}));
  EXPECT_EQ(numbers("epoch_end_timestamps"), (std::vector<double>{20, 31}));
  EXPECT_TRUE(std::isnan(log.find("dice_per_class_or_region")->items.at(0)->items.at(1)->real));
  EXPECT_EQ(ours.root().find("current_epoch")->integer, 2);
  EXPECT_EQ(ours.root().find("grad_scaler_state")->kind, Value::Kind::none);
}

TEST_F(NnUnetCheckpoint, WrappersAndCopiesGo) {
  for (const char* prefix : {"", "module.", "_orig_mod.", "module._orig_mod."}) {
    write_root(path_, small_root(prefix));
    const TensorFile file = read_nnunet_checkpoint(path_);
    ASSERT_EQ(file.tensors.size(), 2u) << prefix;
    EXPECT_EQ(file.tensors[0].first, "encoder.stages.0.0.convs.0.conv.weight") << prefix;
    EXPECT_EQ(file.tensors[1].first, "decoder.seg_layers.0.weight") << prefix;
    EXPECT_EQ(file.metadata.at("nnunet_fold"), "all");
    EXPECT_EQ(file.metadata.at("nnunet_mirror_axes"), "[]") << "None is none";
  }
}

TEST_F(NnUnetCheckpoint, PlansAndDatasetMayLieAboveTheFold) {
  Root root = small_root();
  remove(part(root, "init_args"), "plans");
  remove(part(root, "init_args"), "dataset_json");
  write_root(path_, root);
  const auto message = [&] { return error_of([&] { read_nnunet_checkpoint(path_); }); };
  EXPECT_TRUE(contains(message(), "without init_args.plans") &&
              contains(message(), (folder_.path() / "plans.json").string()));
  write_bytes(folder_.path() / "plans.json", R"({"plans_name": "of the file", "a": [1.5, null]})");
  EXPECT_TRUE(contains(message(), "without init_args.dataset_json") && contains(message(), "dataset.json"));
  write_bytes(folder_.path() / "dataset.json", "[]");
  EXPECT_TRUE(contains(message(), "dataset.json: is no JSON object"));
  write_bytes(folder_.path() / "dataset.json", R"({"labels": {"b": 0, "a": 1}})");
  const TensorFile file = read_nnunet_checkpoint(path_);
  EXPECT_EQ(file.metadata.at("nnunet_plans"), R"({"plans_name":"of the file","a":[1.5,null]})");
  EXPECT_EQ(file.metadata.at("nnunet_dataset"), R"({"labels":{"b":0,"a":1}})");
  write_root(path_, small_root());
  EXPECT_EQ(read_nnunet_checkpoint(path_).metadata.at("nnunet_plans"), R"({"plans_name":"of the checkpoint"})")
      << "the checkpoint's own come first";
}

TEST_F(NnUnetCheckpoint, SaysWhatIsMissing) {
  const auto message = [&](const auto& change) {
    Root root = small_root();
    change(root);
    write_root(path_, root);
    return error_of([&] { read_nnunet_checkpoint(path_); });
  };
  EXPECT_EQ(message([](Root&) {}), "no error");
  EXPECT_TRUE(contains(message([](Root& root) { remove(root, "trainer_name"); }), "without trainer_name"));
  EXPECT_TRUE(contains(message([](Root& root) { remove(root, "init_args"); }), "without init_args.configuration"));
  EXPECT_TRUE(contains(message([&](Root& root) { remove(part(root, "init_args"), "configuration"); }),
                       "without init_args.configuration"));
  EXPECT_TRUE(contains(message([](Root& root) { root.insert_or_assign("inference_allowed_mirroring_axes", 1); }),
                       "no list of axes"));
  EXPECT_TRUE(contains(message([](Root& root) {
                         remove(root, "init_args");
                         remove(root, "trainer_name");
                       }),
                       "is no checkpoint of nnU-Net v2"));
  EXPECT_TRUE(contains(message([&](Root& root) {
                         part(root, "network_weights")
                             .insert("decoder.encoder.stages.0.0.convs.0.all_modules.0.weight",
                                     at::zeros({1, 1, 3, 3}));
                       }),
                       "is not equal to the other copies"));
  const auto other = test::source_path("tests/golden/pth/reference_style.pth");
  EXPECT_TRUE(contains(error_of([&] { read_nnunet_checkpoint(other); }), "is no checkpoint of nnU-Net v2"));
  EXPECT_FALSE(is_nnunet_checkpoint(read_weights(other)));
}

// Also lists of lists of the same list, which are few in the pickle.
TEST_F(NnUnetCheckpoint, PlansWithoutEndAreAnError) {
  for (const auto& [depth, width] : {std::pair{200, 1}, std::pair{40, 4}}) {
    const Root root = small_root();
    c10::impl::GenericList list(c10::AnyType::get());
    for (int i = 0; i < depth; ++i) {
      c10::impl::GenericList outer(c10::AnyType::get());
      for (int k = 0; k < width; ++k) outer.push_back(list);
      list = outer;
    }
    part(part(root, "init_args"), "plans").insert("endless", list);
    write_root(path_, root);
    EXPECT_TRUE(contains(error_of([&] { read_nnunet_checkpoint(path_); }), "nests too deeply")) << depth;
  }
}

TEST_F(NnUnetCheckpoint, IsNotWrittenWithoutPlans) {
  const NamedTensors state{{"decoder.seg_layers.0.weight", at::ones({2, 3, 1, 1})}};
  EXPECT_TRUE(contains(error_of([&] { write_nnunet_checkpoint(path_, state, {.plans = "[]", .dataset = "{}"}); }),
                       "its plans is no JSON object"));
  EXPECT_TRUE(contains(error_of([&] { write_nnunet_checkpoint(path_, state, {.plans = "{}", .dataset = "{"}); }),
                       "its dataset.json is no JSON object"));
  EXPECT_TRUE(std::filesystem::is_empty(fold_));
}

}  // namespace
}  // namespace vmae::weights
