package eks

import (
	"errors"
	"fmt"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
)

// subject names the thing that a refused request was about, in EKS's errors.
type subject struct{ cluster, nodegroup string }

func (s subject) invalidParameter(format string, args ...any) error {
	return &eks.InvalidParameterException{
		ClusterName: optional(s.cluster), NodegroupName: optional(s.nodegroup), Message: new(fmt.Sprintf(format, args...)),
	}
}

func (s subject) invalidRequest(format string, args ...any) error {
	return &eks.InvalidRequestException{
		ClusterName: optional(s.cluster), NodegroupName: optional(s.nodegroup), Message: new(fmt.Sprintf(format, args...)),
	}
}

func (s subject) inUse(format string, args ...any) error {
	return &eks.ResourceInUseException{
		ClusterName: optional(s.cluster), NodegroupName: optional(s.nodegroup), Message: new(fmt.Sprintf(format, args...)),
	}
}

func (s subject) notFound(format string, args ...any) error {
	return &eks.ResourceNotFoundException{
		ClusterName: optional(s.cluster), NodegroupName: optional(s.nodegroup), Message: new(fmt.Sprintf(format, args...)),
	}
}

func (s subject) limit(format string, args ...any) error {
	return &eks.ResourceLimitExceededException{
		ClusterName: optional(s.cluster), NodegroupName: optional(s.nodegroup), Message: new(fmt.Sprintf(format, args...)),
	}
}

// notYet refuses what EKS would do and Ekster cannot make real.
func (s subject) notYet(what string) error {
	return s.invalidParameter("%s not supported by Ekster yet.", what)
}

// tokenReused is the answer to a clientRequestToken that came with another request before.
func (s subject) tokenReused() error {
	return s.invalidParameter("The clientRequestToken was already used with different request parameters.")
}

// ofEC2 words an error of EC2's as EKS passes it on. Other errors stay what they are.
func (s subject) ofEC2(call awsapi.Call, err error) error {
	var e *awsapi.Error
	if !errors.As(err, &e) {
		return err
	}
	return s.invalidParameter("%s (Service: AmazonEC2; Status Code: %d; Error Code: %s; Request ID: %s; Proxy: null)", e.Message, e.Status, e.Code, call.RequestID)
}
