// nnUNetPlans.json
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "intensities_json.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/json_text.h"
#include "vmae/nnunet/plans.h"

namespace vmae::nnunet {
namespace {

constexpr int kIndentOfPlans = 4;  // as nnU-Net
constexpr const char* kConfiguration = "2d";
constexpr size_t kMostAncestors = 100;
constexpr int64_t kMostPixels = int64_t{1} << 31;
constexpr const char* kResampling = "resample_data_or_seg_to_shape";
constexpr const char* kNetworkClass = "dynamic_network_architectures.architectures.unet.PlainConvUNet";
constexpr const char* kOldIntensitiesKey = "foreground_intensity_properties_by_modality";
// of a configuration of versions before 2.5, in the place of "architecture"
constexpr const char* kOldNetworkKeys[] = {
    "UNet_class_name",   "UNet_base_num_features", "n_conv_per_stage_encoder", "n_conv_per_stage_decoder",
    "num_pool_per_axis", "pool_op_kernel_sizes",   "conv_kernel_sizes",        "unet_max_num_features"};

// What the network of every plan is called with, besides its sizes.
Json fixed_network_arguments() {
  return {{"conv_op", "torch.nn.modules.conv.Conv2d"},
          {"conv_bias", true},
          {"norm_op", "torch.nn.modules.instancenorm.InstanceNorm2d"},
          {"norm_op_kwargs", {{"eps", 1e-5}, {"affine", true}}},
          {"dropout_op", nullptr},
          {"dropout_op_kwargs", nullptr},
          {"nonlin", "torch.nn.LeakyReLU"},
          {"nonlin_kwargs", {{"inplace", true}}}};
}

Json network_to_json(const NetworkPlan& network) {
  const Json fixed = fixed_network_arguments();
  Json arguments{{"n_stages", network.features.size()}, {"features_per_stage", network.features}};
  arguments["conv_op"] = fixed.at("conv_op");
  arguments["kernel_sizes"] = network.kernels;
  arguments["strides"] = network.strides;
  arguments["n_conv_per_stage"] = network.convs_encoder;
  arguments["n_conv_per_stage_decoder"] = network.convs_decoder;
  arguments.update(fixed);
  return {{"network_class_name", kNetworkClass},
          {"arch_kwargs", arguments},
          {"_kw_requires_import", {"conv_op", "norm_op", "dropout_op", "nonlin"}}};
}

Json resampling_to_json(const Resampling& resampling) {
  Json json{{"is_seg", resampling.is_seg},
            {"order", resampling.order},
            {"order_z", resampling.order_z},
            {"force_separate_z", nullptr}};
  if (resampling.force_separate_z) json["force_separate_z"] = *resampling.force_separate_z;
  return json;
}

// Of three ways of resampling the name and the arguments, in nnU-Net's order.
void add_resampling(const Configuration& configuration, Json& json) {
  json["resampling_fn_data"] = kResampling;
  json["resampling_fn_seg"] = kResampling;
  json["resampling_fn_data_kwargs"] = resampling_to_json(configuration.data);
  json["resampling_fn_seg_kwargs"] = resampling_to_json(configuration.seg);
  json["resampling_fn_probabilities"] = kResampling;
  json["resampling_fn_probabilities_kwargs"] = resampling_to_json(configuration.probabilities);
}

Json configuration_to_json(const Configuration& configuration) {
  Json json;
  json["data_identifier"] = configuration.data_identifier;
  json["preprocessor_name"] = configuration.preprocessor;
  json["batch_size"] = configuration.batch_size;
  json["patch_size"] = configuration.patch_size;
  json["median_image_size_in_voxels"] = configuration.median_size;
  json["spacing"] = configuration.spacing;
  json["normalization_schemes"] = configuration.normalization;
  json["use_mask_for_norm"] = configuration.use_mask;
  add_resampling(configuration, json);
  json["architecture"] = network_to_json(configuration.network);
  json["batch_dice"] = configuration.batch_dice;
  return json;
}

// What `json` has no value for.
void add_missing(const Json& others, Json& json) {
  for (const auto& [key, value] : others.items()) {
    if (!json.contains(key)) json[key] = value;
  }
}

Json rest_of(const Plans& plans) {
  return plans.rest.empty() ? Json{{"configurations", Json::object()}} : Json::parse(plans.rest);
}

std::array<int64_t, 2> pair_of_integers(const JsonPlace& place) {
  return place.array<int64_t, 2>([](const JsonPlace& one) { return one.integer(1); });
}

std::vector<int64_t> integers(const JsonPlace& place) {
  return place.vector([](const JsonPlace& one) { return one.integer(1); });
}

// A value that has one meaning here.
void require(const JsonPlace& place, const Json& value) {
  if (place.json() != value) place.fail(concat("known is ", json_text(value), " alone"));
}

void check_network(const NetworkPlan& network, const JsonPlace& place, const std::array<int64_t, 2>& patch_size) {
  const size_t stages = network.features.size();
  if (stages < 2) place.fail("meant are at least two stages");
  const auto require_stages = [&](size_t count, size_t meant, const char* what) {
    if (count != meant) place.fail(concat("meant are ", meant, " ", what, ", one per stage"));
  };
  require_stages(network.kernels.size(), stages, "kernels");
  require_stages(network.strides.size(), stages, "strides");
  require_stages(network.convs_encoder.size(), stages, "numbers of convolutions of the encoder");
  require_stages(network.convs_decoder.size(), stages - 1, "numbers of convolutions of the decoder");
  if (network.strides[0] != std::array<int64_t, 2>{1, 1}) place.fail("meant is a first stage with strides of 1");
  for (size_t axis = 0; axis < 2; ++axis) {
    int64_t multiple = 1;
    for (const auto& stride : network.strides) multiple = std::min(multiple * stride[axis], kMostPixels);
    if (multiple > patch_size[axis] || patch_size[axis] % multiple != 0)
      place.fail(concat("its strides divide by ", multiple, ", which the patch size ", patch_size[axis],
                        " is no multiple of"));
    for (const auto& kernel : network.kernels) {
      if (kernel[axis] % 2 == 0) place.fail("meant are odd kernels");
    }
  }
}

constexpr const char* kPlainUnet =
    "only nnU-Net's plain U-Net is here: plan with its default planner, or with vmae plan";

NetworkPlan network_from_json(const JsonPlace& architecture) {
  require(architecture.at("network_class_name").with_hint(kPlainUnet), kNetworkClass);
  const JsonPlace arguments = architecture.at("arch_kwargs");
  const Json fixed = fixed_network_arguments();
  for (const auto& [key, value] : fixed.items()) require(arguments.at(key), value);
  NetworkPlan network;
  network.features = integers(arguments.at("features_per_stage"));
  network.kernels = arguments.at("kernel_sizes").vector(pair_of_integers);
  network.strides = arguments.at("strides").vector(pair_of_integers);
  network.convs_encoder = integers(arguments.at("n_conv_per_stage"));
  network.convs_decoder = integers(arguments.at("n_conv_per_stage_decoder"));
  if (arguments.at("n_stages").integer(1) != std::ssize(network.features))
    arguments.at("n_stages").fail(concat("\"features_per_stage\" has ", network.features.size()));
  return network;
}

// Versions before 2.5 name the same numbers otherwise.
NetworkPlan network_from_old_json(const JsonPlace& configuration) {
  require(configuration.at("UNet_class_name").with_hint(kPlainUnet), "PlainConvUNet");
  NetworkPlan network;
  network.kernels = configuration.at("conv_kernel_sizes").vector(pair_of_integers);
  network.strides = configuration.at("pool_op_kernel_sizes").vector(pair_of_integers);
  network.convs_encoder = integers(configuration.at("n_conv_per_stage_encoder"));
  network.convs_decoder = integers(configuration.at("n_conv_per_stage_decoder"));
  const int64_t most = configuration.at("unet_max_num_features").integer(1);
  int64_t features = configuration.at("UNet_base_num_features").integer(1);
  for (size_t stage = 0; stage < network.convs_encoder.size(); ++stage, features = std::min(2 * features, most))
    network.features.push_back(std::min(features, most));
  return network;
}

Resampling resampling_from_json(const JsonPlace& configuration, const std::string& key) {
  require(configuration.at(key), kResampling);
  const JsonPlace arguments = configuration.at(key + "_kwargs");
  Resampling resampling;
  resampling.is_seg = arguments.at("is_seg").boolean();
  resampling.order = arguments.at("order").integer(1);
  if (resampling.order != 1 && resampling.order != 3) arguments.at("order").fail("known are 1 and 3");
  require(arguments.at("order_z"), 0);
  const JsonPlace separate = arguments.at("force_separate_z");
  if (!separate.json().is_null()) resampling.force_separate_z = separate.boolean();
  return resampling;
}

Configuration configuration_from_json(const JsonPlace& place) {
  const auto positive = [](const JsonPlace& one) {
    if (one.number() <= 0) one.fail("meant is a number above 0");
    return one.number();
  };
  Configuration configuration;
  configuration.data_identifier = place.at("data_identifier").text();
  configuration.preprocessor = place.at("preprocessor_name").text();
  require(place.at("preprocessor_name"), "DefaultPreprocessor");
  configuration.batch_size = place.at("batch_size").integer(1);
  configuration.patch_size = pair_of_integers(place.at("patch_size"));
  configuration.median_size = place.at("median_image_size_in_voxels").array<double, 2>(positive);
  configuration.spacing = place.at("spacing").array<double, 2>(positive);
  configuration.normalization = place.at("normalization_schemes").vector([](const JsonPlace& one) {
    const std::vector<std::string> known{"CTNormalization", "NoNormalization", "ZScoreNormalization",
                                         "RescaleTo01Normalization", "RGBTo01Normalization"};
    if (std::find(known.begin(), known.end(), one.text()) == known.end()) one.fail("known are " + join(known, ", "));
    return one.text();
  });
  for (const JsonPlace& one : place.at("use_mask_for_norm").list(configuration.normalization.size()))
    configuration.use_mask.push_back(one.boolean());
  configuration.data = resampling_from_json(place, "resampling_fn_data");
  configuration.seg = resampling_from_json(place, "resampling_fn_seg");
  configuration.probabilities = resampling_from_json(place, "resampling_fn_probabilities");
  const bool is_new = place.has("architecture");
  configuration.network = is_new ? network_from_json(place.at("architecture")) : network_from_old_json(place);
  check_network(configuration.network, is_new ? place.at("architecture") : place.at("conv_kernel_sizes"),
                configuration.patch_size);
  configuration.batch_dice = place.at("batch_dice").boolean();
  return configuration;
}

// The configuration with what it inherits.
Json resolved(const JsonPlace& configurations, const std::string& name, std::set<std::string> visited = {}) {
  const JsonPlace place = configurations.at(name);
  if (!place.json().is_object()) place.fail("meant is an object");
  if (!place.has("inherits_from")) return place.json();
  if (!visited.insert(name).second || visited.size() > kMostAncestors) place.fail("it inherits from itself");
  Json json = resolved(configurations, place.at("inherits_from").text(), std::move(visited));
  json.update(place.json());
  json.erase("inherits_from");
  return json;
}

std::array<int64_t, 3> order_of_axes(const JsonPlace& place) {
  const auto order = place.array<int64_t, 3>([](const JsonPlace& one) { return one.integer(0); });
  if (std::set<int64_t>(order.begin(), order.end()) != std::set<int64_t>{0, 1, 2}) place.fail("meant are 0, 1 and 2");
  return order;
}

}  // namespace

Plans plans_of_json(const std::string& text, const std::filesystem::path& for_messages) {
  const std::filesystem::path& file = for_messages;
  const Json json = parse_json(text, file);
  const JsonPlace place = JsonPlace(file, json).with_hint("give nnUNetPlans.json as nnU-Net or `vmae plan` wrote it");
  Plans plans;
  const Json flat =
      resolved(place.at("configurations").with_hint("plan the 2D configuration, with nnU-Net or with vmae plan"),
               kConfiguration);
  const Json only{{kConfiguration, flat}};
  plans.flat = configuration_from_json(JsonPlace(file, only).at(kConfiguration));
  plans.dataset_name = place.at("dataset_name").text();
  plans.plans_name = place.at("plans_name").text();
  plans.median_spacing = place.at("original_median_spacing_after_transp").array<double, 3>([](const JsonPlace& one) {
    return one.number();
  });
  plans.median_shape = place.at("original_median_shape_after_transp").array<int64_t, 3>([](const JsonPlace& one) {
    return one.integer(1);
  });
  plans.reader_writer = place.at("image_reader_writer").text();
  plans.transpose_forward = order_of_axes(place.at("transpose_forward"));
  plans.transpose_backward = order_of_axes(place.at("transpose_backward"));
  for (size_t axis = 0; axis < 3; ++axis) {
    if (plans.transpose_backward[static_cast<size_t>(plans.transpose_forward[axis])] != static_cast<int64_t>(axis))
      place.at("transpose_backward").fail("it does not undo \"transpose_forward\"");
  }
  plans.planner = place.at("experiment_planner_used").text();
  plans.label_manager = place.has("label_manager") ? place.at("label_manager").text() : plans.label_manager;
  const bool is_old = !place.has(kIntensitiesKey) && place.has(kOldIntensitiesKey);
  plans.channels = intensities_from_json(place.at(is_old ? kOldIntensitiesKey : kIntensitiesKey));
  if (plans.channels.size() != plans.flat.normalization.size())
    place.at(is_old ? kOldIntensitiesKey : kIntensitiesKey)
        .fail(concat("\"normalization_schemes\" has ", plans.flat.normalization.size(), " channels"));
  Json rest = json;
  rest["configurations"][kConfiguration] = flat;
  for (const char* key : kOldNetworkKeys) rest["configurations"][kConfiguration].erase(key);
  plans.rest = json_text(rest);
  return plans;
}

std::string slice_axis_of(const Plans& plans) { return {"zyx"[plans.transpose_forward[0]]}; }

Plans read_plans(const std::filesystem::path& file) { return plans_of_json(read_file(file), file); }

void keep_other_configurations(const std::filesystem::path& file, Plans& plans) {
  const Json json = read_json(file);
  Json others = JsonPlace(file, json).at("configurations").json();
  if (!others.is_object()) JsonPlace(file, json).at("configurations").fail("meant is an object");
  others.erase(kConfiguration);
  Json rest = rest_of(plans);
  add_missing(others, rest["configurations"]);
  plans.rest = json_text(rest);
}

std::string plans_json(const Plans& plans) {
  const Json rest = rest_of(plans);
  const Json& others = rest.at("configurations");
  Json flat = configuration_to_json(plans.flat);
  if (others.contains(kConfiguration)) add_missing(others.at(kConfiguration), flat);
  Json json;
  json["dataset_name"] = plans.dataset_name;
  json["plans_name"] = plans.plans_name;
  json["original_median_spacing_after_transp"] = plans.median_spacing;
  json["original_median_shape_after_transp"] = plans.median_shape;
  json["image_reader_writer"] = plans.reader_writer;
  json["transpose_forward"] = plans.transpose_forward;
  json["transpose_backward"] = plans.transpose_backward;
  json["configurations"] = {{kConfiguration, flat}};
  add_missing(others, json["configurations"]);
  json["experiment_planner_used"] = plans.planner;
  json["label_manager"] = plans.label_manager;
  json[kIntensitiesKey] = intensities_to_json(plans.channels);
  add_missing(rest, json);
  return json_text(json, kIndentOfPlans);
}

void write_plans(const std::filesystem::path& file, const Plans& plans) {
  write_file_atomically(file, plans_json(plans));
}

}  // namespace vmae::nnunet
