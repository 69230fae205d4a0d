"""OpenAPI description of the REST interface."""

from typing import Any

from cxrjax.inference.model_input import IF_INVERTED
from cxrjax.serve import results
from cxrjax.serve.card import ModelCard

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}
_NUMBER: Schema = {"type": ["number", "null"]}
_INTEGER: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}


def document(card: ModelCard) -> Schema:
    """Return the OpenAPI 3.1 document of the interface of a model."""
    one = "/api/predictions/{id}"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"cxrjax: {card.name}",
            "version": card.version,
            "summary": card.disclaimer,
            "description": card.audit,
        },
        "paths": {
            "/api/model": {"get": _operation("The model, its audit and the limits.", _json("Model"))},
            "/api/openapi.json": {"get": _operation("This document.", {"200": _content("The document.", {}, "json")})},
            "/api/predictions": {"post": _create()},
            one: {
                "parameters": [_parameter("id", "path", "id of the prediction", _TEXT)],
                "get": _operation("A prediction that is still in memory.", _json("Prediction") | _errors(404)),
                "delete": _operation("Forget a prediction.", {"204": {"description": "Forgotten."}} | _errors(404)),
            },
            one + "/{name}": {
                "parameters": [
                    _parameter("id", "path", "id of the prediction", _TEXT),
                    _parameter("name", "path", _describe_images(), {"enum": list(results.IMAGES)}),
                    _parameter("label", "query", "class of the saliency map; by default the predicted one", _TEXT),
                ],
                "get": _operation("An image.", {"200": _content("The image.", {}, "png")} | _errors(404, 503)),
            },
        },
        "components": {"schemas": {"Model": _model(), "Prediction": _prediction(), "Error": _object({"error": _TEXT})}},
    }


def _create() -> Schema:
    body = {"schema": {"type": "string", "format": "binary"}}
    jsrt = "jsrt for a JSRT .IMG file, which is pixels alone; other formats are recognized by their content"
    inverted = "what to do with a radiograph whose gray levels look inverted"
    created = _json("Prediction", "201")
    return _operation("Predict a radiograph.", created | _errors(400, 408, 411, 413, 415, 422, 503)) | {
        "parameters": [
            _parameter("format", "query", jsrt, {"enum": ["jsrt"]}),
            _parameter("if_inverted", "query", inverted, {"enum": list(IF_INVERTED), "default": "refuse"}),
        ],
        "requestBody": {
            "required": True,
            "description": "The file: PNG, JPEG, TIFF, WebP, BMP, DICOM, NumPy .npy or JSRT .IMG.",
            "content": {"application/octet-stream": body, "application/dicom": body, "image/*": body},
        },
    }


def _operation(summary: str, responses: Schema) -> Schema:
    return {"summary": summary, "responses": responses}


def _parameter(name: str, place: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": place, "description": description, "required": place == "path", "schema": schema}


def _content(description: str, schema: Schema, kind: str) -> Schema:
    media_type = {"json": "application/json", "png": "image/png"}[kind]
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _json(name: str, status: str = "200") -> Schema:
    return {status: _content(f"The {name.lower()}.", {"$ref": f"#/components/schemas/{name}"}, "json")}


def _errors(*statuses: int) -> Schema:
    error = _content("The reason, in one sentence.", {"$ref": "#/components/schemas/Error"}, "json")
    busy = error | {"headers": {"Retry-After": {"description": "seconds", "schema": _INTEGER}}}
    return {str(status): busy if status == 503 else error for status in statuses}


def _object(properties: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": list(properties),
        "additionalProperties": False,
    }


def _by_name(values: Schema, description: str) -> Schema:
    return {"type": "object", "additionalProperties": values, "description": description}


def _described(schema: Schema, description: str) -> Schema:
    return schema | {"description": description}


def _describe_images() -> str:
    return (
        "radiograph.png: the preprocessed radiograph, reduced; layer.png: the saliency map in colors, its value as "
        "opacity, reduced. At the size of the file: map.png: the saliency map in 16 bit, 65535 is 1; mask.png: 0 "
        "background, 1 heart, 2 left lung, 3 right lung; overlay.png: map and outline over the radiograph"
    )


def _model() -> Schema:
    return _object(
        {
            "name": _TEXT,
            "classes": _described({"type": "array", "items": _TEXT}, "empty for a model that only finds lungs"),
            "step": _described(_INTEGER, "training step of the networks"),
            "has_ood_detector": _FLAG,
            "disclaimer": _TEXT,
            "notice": _described(_TEXT, "the model's own sentences, such as that it is a demonstration; may be empty"),
            "audit": _described(_TEXT, "result of the audit for shortcuts, or that there is none"),
            "audit_details": _described(_TEXT, "paragraph of the audit; empty without an audit"),
            "audit_split": _described(_TEXT, "split that was audited; empty without an audit"),
            "version": _described(_TEXT, "of cxrjax"),
            "max_bytes": _described(_INTEGER, "limit of one file"),
        }
    )


def _prediction() -> Schema:
    area = _object({"pixels": _described(_INTEGER, "of the file"), "mm2": _NUMBER})
    spacing = {"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    return _object(
        {
            "id": _TEXT,
            "view": _described(_TEXT, "view that the header states; empty if it is not known"),
            "label": _described(
                _OPTIONAL_TEXT,
                "class that the patches voted for, or positive findings, as A|B; null without lungs or classifier",
            ),
            "saliency_label": _described(_OPTIONAL_TEXT, "class of the saliency map without the parameter label"),
            "decision": _described(
                {"enum": ["decided", "undecided", ""]}, "undecided: too uncertain, by the validation split"
            ),
            "ood_reason": _described(
                _OPTIONAL_TEXT, "why the image is unlike the training radiographs; empty if not, null if not judged"
            ),
            "notice": _described(_TEXT, "the model's own sentences, such as that it is a demonstration; may be empty"),
            "reason": _described(_TEXT, "why there is no label, or what was repaired in the file"),
            "confidence": _described(_NUMBER, "probability of the label, 0 to 1"),
            "vote_fraction": _described(_NUMBER, "share of the patches that voted for the label, 0 to 1"),
            "expected_entropy": _described(_NUMBER, "nats"),
            "mutual_information": _described(_NUMBER, "nats"),
            "lung_confidence": _described(_NUMBER, "mean lung probability inside the mask, 0 to 1"),
            "probabilities": _by_name(_NUMBER, "by class, mean over the patches"),
            "lung_geometry": _by_name(_NUMBER, "boxes in pixels, areas in mm², cardiothoracic_ratio"),
            "height": _described(_INTEGER, "pixels of the file"),
            "width": _described(_INTEGER, "pixels of the file"),
            "spacing": _described(spacing, "distance of rows and of columns in mm; null if it is not known"),
            "votes": _by_name(_INTEGER, "by class, number of patches"),
            "has_lungs": _described(_FLAG, "false if no lungs were found"),
            "structures": _by_name(area, "areas of left_lung, right_lung and heart"),
            "outlines": _by_name(_TEXT, "SVG paths in pixels of the file, of left_lung, right_lung and heart"),
            "files": _by_name(_TEXT, "addresses of the images"),
            "disclaimer": _TEXT,
        },
        optional={
            "findings": _by_name(_FLAG, "of a model of several findings: whether each is predicted"),
            "thresholds": _by_name(
                _NUMBER, "of a model of several findings: probability from which on each is predicted"
            ),
            "threshold_note": _described(_TEXT, "a sentence on where the thresholds come from"),
            "num_patches": _described(_INTEGER, "of a model of several findings: patches that voted on each"),
        },
    )
