#!/usr/bin/env python3
"""Statistics that nnU-Net takes of a few drawn foreground voxels, as rows of tests/unit/nnunet/fingerprint_test.cpp: prints them. Needs nnunetv2 2.8.1."""
import numpy as np
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero

number = np.arange(24, dtype=np.float32)
image = np.stack([number * number / np.float32(7), np.sqrt(number)]).reshape(2, 2, 3, 4)
image[:, :, :, 0] = 0  # cropped, with the foreground there
labels = np.zeros((1, 2, 3, 4), np.float32)
labels[0, 0, 1:] = 1
labels[0, 1, 0, 2] = 3
data, seg, _ = crop_to_nonzero(image, labels)
for num_samples in (1, 2, 3, 9, 200):
    drawn, _ = DatasetFingerprintExtractor.collect_foreground_intensities(seg, data, num_samples=num_samples)
    for with_empty_case in (False, True):
        for channel in range(2):
            pool = np.concatenate([drawn[channel], []] if with_empty_case else [drawn[channel]])
            low, median, high = np.percentile(pool, np.array((0.5, 50.0, 99.5)))
            row = [pool.max(), np.mean(pool), median, pool.min(), low, high, np.std(pool)]
            print(f"{{{num_samples}, {str(with_empty_case).lower()}, {channel}, {{{', '.join(repr(float(v)) for v in row)}}}}},")
